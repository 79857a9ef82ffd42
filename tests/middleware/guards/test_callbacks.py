"""What clients call of the application's while a mirrored request reads, or a live one: judged by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import boto3
import httpx
import pytest
import urllib3

from mirrorproof import Settings, install_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.exchange import Outcome
from mirrorproof.guards.acting import Write, perform

Hook = Callable[..., Any]
written: list[str] = []


def hook(*_: Any, **__: Any) -> None:
    perform(Write("hook.write", "there"), lambda: written.append("really"), lambda: None)


async def hook_async(*_: Any, **__: Any) -> None:
    hook()


class Policy(urllib3.Retry):
    def increment(self, *args: Any, **kwargs: Any) -> Any:
        hook()
        return super().increment(*args, **kwargs)


def by_urllib3(url: str) -> None:
    policy = Policy(1, status_forcelist=range(200, 600), raise_on_status=False)
    urllib3.PoolManager(retries=policy).request("GET", url)


def by_httpx(url: str) -> None:
    with httpx.Client() as client:
        client.get(url, extensions={"trace": hook})


def by_httpx_async(url: str) -> None:
    async def get() -> None:
        async with httpx.AsyncClient() as client:
            await client.get(url, extensions={"trace": hook_async})

    asyncio.run(get())


def by_aiohttp(url: str) -> None:
    async def get() -> None:
        config = aiohttp.TraceConfig()
        config.on_request_headers_sent.append(hook_async)
        config.on_request_end.append(hook_async)
        async with aiohttp.ClientSession(trace_configs=[config]) as session, session.get(url):
            pass

    asyncio.run(get())


def by_botocore(url: str) -> None:
    client = boto3.client(
        "s3", endpoint_url=url, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    for event in ("before-send", "request-created", "needs-retry"):
        client.meta.events.register(f"{event}.s3", hook)
    client.head_bucket(Bucket="bucket")


@pytest.mark.parametrize("read", [by_urllib3, by_httpx, by_httpx_async, by_aiohttp, by_botocore])
@pytest.mark.parametrize("mode", [Mode.DRY_RUN, Mode.LIVE])
def test_a_hook_s_write_during_a_read_is_judged_by_itself(
    outside: Any, mode: Mode, read: Callable[[str], None]
) -> None:
    install_guards()
    written.clear()
    context = MirrorContext(Decision(mode), settings=Settings())
    with entered(context):
        read(outside.url)
    outcomes = {(each.kind, each.outcome) for each in context.ledger}
    if mode is Mode.LIVE:
        assert outcomes == {("hook.write", Outcome.EXECUTED)}
        assert len(written) == len(context.ledger)
    else:
        assert outcomes == {("hook.write", Outcome.SUPPRESSED)}
        assert written == []
