"""Reading a file of thresholds. Knows TOML. Must not know what a limit means."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.judge import Thresholds

__all__ = ["read_thresholds"]

_MAX_FILE_BYTES = 1 << 20


def read_thresholds(path: str | None) -> Thresholds:
    """The thresholds of the file at `path`, the defaults without one. Raises `SettingsError`."""
    if path is None:
        return Thresholds()
    try:
        content = Path(path).read_bytes()
        if len(content) > _MAX_FILE_BYTES:
            raise SettingsError("larger than 1 MiB")
        return Thresholds.from_dict(tomllib.loads(content.decode()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"MIRRORPROOF_THRESHOLDS: {path} cannot be read: {error}") from error
    except SettingsError as error:
        raise SettingsError(f"MIRRORPROOF_THRESHOLDS: {path}: {error}") from error
