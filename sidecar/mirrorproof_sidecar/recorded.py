"""Recorded exchanges: a file or a stream of them, read a bounded piece at a time.

Knows NDJSON, JSON and MessagePack as `POST /v1/exchanges` takes them. Must not know what is done with them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from mirrorproof.errors import SettingsError, WireError
from mirrorproof.exchange import Exchange, decode_batch
from mirrorproof_sidecar.examples import clean

__all__ = ["read_exchanges"]

_MAX_LINE_BYTES: Final = 64 << 20
_MAX_FILE_BYTES: Final = 1 << 30


def read_exchanges(path: str) -> Iterator[Exchange]:
    """The exchanges in the file at `path`, `-` for standard input.

    Either a line each (NDJSON; a line may also be a posted batch), or one batch, JSON or MessagePack. Raises
    `SettingsError` that names the file and the line.
    """
    try:
        if path == "-":
            yield from _read(sys.stdin.buffer, path)
        else:
            with Path(path).open("rb") as file:
                yield from _read(file, path)
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _read(file: BinaryIO, name: str) -> Iterator[Exchange]:
    line = file.readline(_MAX_LINE_BYTES + 1)
    if not line.lstrip().startswith(b"{") or not _is_json(line):
        yield from _whole(line, file, name)
        return
    number = 1
    while line:
        if len(line) > _MAX_LINE_BYTES:
            raise SettingsError(f"{name}, line {number}: longer than {_MAX_LINE_BYTES >> 20} MiB")
        if line.strip():
            yield from _line(line, f"{name}, line {number}")
        line = file.readline(_MAX_LINE_BYTES + 1)
        number += 1


def _line(line: bytes, where: str) -> Iterator[Exchange]:
    batch = b'"exchanges"' in line and b'"exchange_id"' not in line.split(b'"exchanges"')[0]
    body = line if batch else b"[" + line + b"]"
    try:
        yield from decode_batch(body, "application/json").exchanges
    except WireError as error:
        raise SettingsError(f"{where} is no exchange: {clean(str(error))}") from error


def _whole(begin: bytes, file: BinaryIO, name: str) -> Iterator[Exchange]:
    body = begin + file.read(_MAX_FILE_BYTES + 1)
    if len(body) > _MAX_FILE_BYTES:
        raise SettingsError(f"{name} is larger than 1 GiB; write a line for each exchange (NDJSON) instead")
    kind = "application/json" if not body.strip() or body.lstrip()[:1] in b"[{" else "application/msgpack"
    if not body.strip():
        return
    try:
        yield from decode_batch(body, kind).exchanges
    except WireError as error:
        raise SettingsError(f"{name} holds no exchanges: {clean(str(error))}") from error


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
