"""Reading the files that settings name: rules, thresholds, descriptor sets. Must not know what they mean."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare import Rules
from mirrorproof_sidecar.compare.formats import Schemas
from mirrorproof_sidecar.judge import Thresholds

__all__ = ["read_rules", "read_schemas", "read_thresholds"]

_MIB = 1 << 20
_Found = TypeVar("_Found")


def read_rules(path: str) -> Rules:
    """The default rules and those of the file at `path`. Raises `SettingsError` that names what is wrong."""

    def parse(content: bytes) -> Rules:
        if path.endswith(".json"):
            return Rules.from_json(content).with_defaults()
        return Rules.from_dict(tomllib.loads(content.decode())).with_defaults()

    return _read("MIRRORPROOF_RULES", path, parse)


def read_thresholds(path: str | None) -> Thresholds:
    """The thresholds of the file at `path`, the defaults without one. Raises `SettingsError`."""
    if path is None:
        return Thresholds()
    return _read(
        "MIRRORPROOF_THRESHOLDS", path, lambda content: Thresholds.from_dict(tomllib.loads(content.decode()))
    )


def read_schemas(path: str) -> Schemas:
    """The messages of the descriptor set at `path`. Raises `SettingsError` that names what is wrong."""
    return _read("MIRRORPROOF_DESCRIPTORS", path, Schemas, most_mib=64)


def _read(variable: str, path: str, parse: Callable[[bytes], _Found], most_mib: int = 1) -> _Found:
    try:
        content = Path(path).read_bytes()
        if len(content) > most_mib * _MIB:
            raise SettingsError(f"larger than {most_mib} MiB")
        return parse(content)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {path}: {error}") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error}") from error
