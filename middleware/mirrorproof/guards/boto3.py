"""The boto3 guard: an AWS call is a read or an effect by its operation's name, and an unknown one an effect.

Judged where botocore hands a request to its endpoint, so that a call's parameters are checked and its event
handlers run as ever. An effect is answered in the operation's own output shape (`guards.aws`). Whatever
builds on botocore's client passes here: resources, paginators, waiters, s3transfer's threads.

Knows botocore's client. Must not know what an operation answers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit

from mirrorproof.context import MirrorContext, admitted, current, is_mirrored
from mirrorproof.guards import Guard
from mirrorproof.guards.acting import CONSUME, Write, acting
from mirrorproof.guards.aws import answer_of, payload_of, place_of
from mirrorproof.guards.callbacks import judged_alone
from mirrorproof.rulings import Where

__all__ = ["Boto3Guard", "Boto3TransferGuard", "is_read"]

_READ_VERB: Final = re.compile(
    r"(?:Get|List|Describe|Head|Query|Scan|Select|Search|Lookup|Filter|Count|Simulate|BatchGet|TransactGet"
    r"|BatchDescribe)(?![a-z])"
)
_READS: Final = {
    # What only computes, or hands out what reading needs.
    "kms": frozenset({
        "Decrypt", "Encrypt", "ReEncrypt", "GenerateDataKey", "GenerateDataKeyPair",
        "GenerateDataKeyPairWithoutPlaintext", "GenerateDataKeyWithoutPlaintext", "GenerateMac",
        "GenerateRandom", "Sign", "Verify", "VerifyMac", "DeriveSharedSecret",
    }),
    "sts": frozenset({
        "AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "DecodeAuthorizationMessage",
    }),
    "sso-oidc": frozenset({"CreateToken"}),
    "signin": frozenset({"CreateOAuth2Token"}),
}  # fmt: skip
_NOT_READS: Final = frozenset({
    # They send a code, rotate a token, make an identity.
    ("cognito-idp", "GetUserAttributeVerificationCode"), ("cognito-idp", "GetTokensFromRefreshToken"),
    ("cognito-identity", "GetId"), ("cognito-identity", "GetOpenIdTokenForDeveloperIdentity"),
    ("entityresolution", "GetMatchId"),
})  # fmt: skip
_CONSUMING: Final = {
    # How many seconds the service waits for a message when the call does not say.
    ("sqs", "ReceiveMessage"): 0, ("stepfunctions", "GetActivityTask"): 60,
    ("swf", "PollForActivityTask"): 60,
    ("swf", "PollForDecisionTask"): 60, ("codepipeline", "PollForJobs"): 0,
    ("codepipeline", "PollForThirdPartyJobs"): 0, ("datapipeline", "PollForTask"): 90,
}  # fmt: skip
_PARTIQL: Final = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})
_MAX_WAIT_S: Final = 20.0
_MIN_WAIT_OUTSIDE_S: Final = 1.0
_SUPPRESSED: Final = "mirrorproof.boto3"
_params: ContextVar[dict[str, Any] | None] = ContextVar("mirrorproof_boto3_params", default=None)


class Boto3Guard(Guard):
    """Guards botocore's clients, and with them boto3."""

    name = "boto3"
    module = "botocore.client"
    distribution = "botocore"
    tested = ("1.44", "1.44")
    covers = "every call of botocore's clients: boto3's clients, resources, paginators, S3 transfers"

    def install(self) -> None:
        from botocore.client import BaseClient
        from botocore.hooks import _PrefixTrie
        from botocore.utils import IMDSFetcher
        from botocore.waiter import Waiter

        self.wrap(BaseClient, "_make_api_call", _call)
        self.wrap(BaseClient, "_make_request", _request)
        self.wrap(_PrefixTrie, "prefix_search", _handlers)
        self.wrap(Waiter, "wait", _wait)
        self.wrap(IMDSFetcher, "_fetch_metadata_token", _read)


class Boto3TransferGuard(Guard):
    """Has S3 transfers of mirrored requests go through botocore: awscrt's own sockets cannot be guarded."""

    name = "boto3_transfer"
    module = "boto3.s3.transfer"
    distribution = "boto3"
    tested = ("1.44", "1.44")
    covers = "the choice of S3's transfer client: never awscrt's in a mirrored request"

    def install(self) -> None:
        transfer = import_module(self.module)  # its package does not have it yet while it is imported
        self.wrap(transfer, "_should_use_crt", _should_use_crt)


def is_read(service: str, operation: str, params: dict[str, Any]) -> bool:
    """Whether an operation changes nothing. One that is not known to is a write."""
    if (service, operation) in _NOT_READS or (service, operation) in _CONSUMING:
        return False
    if service == "dynamodb" and operation in _PARTIQL:
        statements = params.get("TransactStatements") or params.get("Statements") or [params]
        return all(str(each.get("Statement", "")).lstrip()[:7].upper() == "SELECT " for each in statements)
    return bool(_READ_VERB.match(operation)) or operation in _READS.get(service, ())


def _handlers(wrapped: Any, events: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Whom botocore tells of an event: what the application's own handlers do is no part of the call."""
    found = wrapped(*args, **kwargs)
    return type(found)(each if _is_botocores(each) else judged_alone(each) for each in found)


def _is_botocores(handler: Any) -> bool:
    function = getattr(handler, "func", handler)  # of a `partial`
    of = getattr(function, "__module__", None) or type(function).__module__
    return of.partition(".")[0] in ("botocore", "boto3", "s3transfer")


def _call(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with _asking(args[1] if len(args) > 1 else kwargs["api_params"]):
        return wrapped(*args, **kwargs)


@contextmanager
def _asking(params: dict[str, Any]) -> Iterator[None]:
    token = _params.set(params)
    try:
        yield
    finally:
        _params.reset(token)


def _request(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    def checked(*args: Any, **kwargs: Any) -> Any:
        answer = wrapped(*args, **kwargs)
        if answer[0].status_code >= 300:
            raise _DidNotHappenError(answer)
        return answer

    try:
        answer = _judged(checked, client, args, kwargs)
    except _DidNotHappenError as refused:
        return refused.answer
    if isinstance(answer, tuple):
        return answer
    # A rule's `returns`: what the operation answers, without what botocore adds to every answer.
    http, parsed = answer_of(args[0], args[1], {}, client.meta.region_name)
    own = answer if isinstance(answer, dict) else {}
    return http, {"ResponseMetadata": parsed["ResponseMetadata"], **own}


class _DidNotHappenError(Exception):
    """AWS did not do it: no effect to record."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


def _describe(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Write | None:
    model, request, params = args[0], args[1], _params.get() or {}
    service, operation = model.service_model.service_name, model.name
    if is_read(service, operation, params):
        return None
    kind = CONSUME if (service, operation) in _CONSUMING else f"aws.{service}.{operation}"
    target, queue, table = place_of(service, params)
    url = urlsplit(request.get("url") or "")
    where = Where(host=url.hostname, method=request.get("method"), path=url.path, queue=queue, table=table)
    return Write(kind, target, payload_of(params, model.input_shape), where=where)


def _stub(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    model, request, params, context = args[0], args[1], _params.get() or {}, current()
    service = model.service_model.service_name
    if context is not None:
        context.resources[_SUPPRESSED, service] = True
        if (service, model.name) in _CONSUMING:
            _linger(context, params.get("WaitTimeSeconds", _CONSUMING[service, model.name]))
    return answer_of(model, request, params, client.meta.region_name)


_judged = acting(_describe, _stub)


def _linger(context: MirrorContext, asked_s: float) -> None:
    least = 0.0 if context.in_request else _MIN_WAIT_OUTSIDE_S
    time.sleep(min(max(float(asked_s), least), _MAX_WAIT_S))


def _wait(wrapped: Any, waiter: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A request does not wait for what it would have made: it looks once, then goes on."""
    from botocore.exceptions import WaiterError

    context = current()
    service = _service_of(waiter)
    if context is None or not context.mirrored or (_SUPPRESSED, service) not in context.resources:
        return wrapped(*args, **kwargs)
    kwargs["WaiterConfig"] = {"Delay": 0, "MaxAttempts": 1}
    try:
        return wrapped(*args, **kwargs)
    except WaiterError:
        return None


def _service_of(waiter: Any) -> str:
    method = getattr(getattr(waiter, "_operation_method", None), "_client_method", None)
    client = getattr(method, "__self__", None)
    return str(client.meta.service_model.service_name) if client is not None else ""


def _read(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    with admitted():
        return wrapped(*args, **kwargs)


def _should_use_crt(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return False if is_mirrored() else wrapped(*args, **kwargs)
