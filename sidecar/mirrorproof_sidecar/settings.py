"""Settings of the recorder: TOML table `[recorder]`, `MIRRORPROOF_*` variables, flags.

Each is described in its field, where `--help` and docs/settings.md read it. Knows values and their bounds.
Must not know what they do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mirrorproof.settings import load

__all__ = ["RecorderSettings", "is_loopback", "split_listen"]

_HTTP = ("http://", "https://")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class RecorderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the recorder; TOML table `[recorder]`."""

    listen: Annotated[
        str, Meta(description="Address and port to listen on; port 0 takes a free one. Beyond loopback "
                              "a token is required.")
    ] = "127.0.0.1:9600"  # fmt: skip
    store: Annotated[
        str, Meta(description="Where exchanges are kept: sqlite:///file or postgresql+psycopg://….")
    ] = "sqlite:///mirrorproof.db"
    token: Annotated[str | None, Meta(description="Bearer token with all rights.")] = None
    read_token: Annotated[str | None, Meta(description="Bearer token that may only read.")] = None
    rules: Annotated[
        str | None, Meta(description="TOML or JSON file of rules (docs/rules.md); with the default "
                                     "ones, they replace the store's at start. Without it the "
                                     "store's rules hold.")
    ] = None  # fmt: skip
    thresholds: Annotated[
        str | None, Meta(description="TOML file of what a verdict is measured by (docs/verdict.md).")
    ] = None
    descriptors: Annotated[
        str | None, Meta(description="Descriptor set (protoc --include_imports --descriptor_set_out=FILE) by "
                                     "which protobuf and gRPC bodies are compared field by field.")
    ] = None  # fmt: skip
    retention_s: Annotated[
        float, Meta(gt=0, description="Seconds after which exchanges and what was found in them are deleted.")
    ] = 7 * 86_400.0
    expire_after_s: Annotated[
        float, Meta(gt=0, description="Seconds that an exchange waits for its partner before it counts as "
                                      "unpaired. A later partner still pairs.")
    ] = 60.0  # fmt: skip
    settle_s: Annotated[
        float, Meta(ge=0, le=60, description="Seconds without further exchanges of the same request before "
                                             "it is compared: time for v1's retries to arrive.")
    ] = 1.0  # fmt: skip
    repeat_within_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds within which v1's answers to the same read show what "
                                               "is noise; 0 learns nothing from them.")
    ] = 2.0  # fmt: skip
    reread_primary_url: Annotated[
        str | None, Meta(description="Where v1 is asked once more when v2 differs, to tell state that moved: "
                                     "http://…. Only reads without credentials. Unset: never.")
    ] = None  # fmt: skip
    rereads_per_minute: Annotated[
        int, Meta(ge=1, le=10_000, description="How often v1 is asked once more, at most.")
    ] = 60
    match_sample: Annotated[
        float, Meta(ge=0, le=1, description="Share of matching comparisons that become spans; each one that "
                                            "differs does.")
    ] = 0.01  # fmt: skip
    max_post_bytes: Annotated[
        int, Meta(ge=1024, le=1 << 30, description="Bytes of one post, after decompression.")
    ] = 64 << 20
    max_backlog: Annotated[
        int, Meta(ge=1, description="Requests that may wait to be compared before posts are answered 429.")
    ] = 100_000
    max_endpoints: Annotated[
        int, Meta(ge=1, le=100_000, description="Endpoints told apart; what comes after is counted as other.")
    ] = 1000
    max_per_key: Annotated[
        int, Meta(ge=2, le=10_000, description="Exchanges with one pair id, method and path; over it they "
                                               "are set aside as ambiguous.")
    ] = 100  # fmt: skip
    log_level: Annotated[str, Meta(description="DEBUG, INFO, WARNING or ERROR.")] = "INFO"

    def __post_init__(self) -> None:
        host, _ = split_listen(self.listen)
        if not is_loopback(host) and not self.token:
            raise ValueError(
                f"`listen` {self.listen} is reachable from other machines, so `token` has to be set "
                "(MIRRORPROOF_TOKEN), or listen on 127.0.0.1"
            )
        if self.token is not None and self.token == self.read_token:
            raise ValueError("`token` and `read_token` have to differ")
        if "" in (self.token, self.read_token):
            raise ValueError("`token` and `read_token` must not be empty; leave them out instead")
        if not self.store.startswith(("sqlite:///", "postgresql+psycopg://", "postgresql://")):
            raise ValueError("`store` has to start with sqlite:/// or postgresql+psycopg://")
        if self.reread_primary_url is not None and not self.reread_primary_url.startswith(_HTTP):
            raise ValueError("`reread_primary_url` has to start with http:// or https://")
        if self.log_level.upper() not in _LEVELS:
            raise ValueError(f"`log_level` has to be one of {', '.join(_LEVELS)}")

    @classmethod
    def load(cls, env: Mapping[str, str] | None = None, **flags: Any) -> RecorderSettings:
        """Settings from `flags`, the environment and the file that `MIRRORPROOF_CONFIG` names.

        Raises `SettingsError` that names the key.
        """
        return load(cls, "recorder", flags, os.environ if env is None else env)


def split_listen(listen: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[v6]:port`. Raises `ValueError` that says what is wrong."""
    host, colon, port = listen.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"`listen` {listen!r} has to be an address and a port, such as 127.0.0.1:9600")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or (":" in host and not bracketed):
        raise ValueError(f"`listen` {listen!r} has to name an address, such as 127.0.0.1 or [::1]")
    return (host[1:-1] if bracketed else host), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
