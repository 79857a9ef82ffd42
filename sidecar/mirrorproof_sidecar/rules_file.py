"""Reading files that a comparison needs: rules, and descriptor sets. Must not know what a rule does."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mirrorproof.errors import SettingsError
from mirrorproof_sidecar.compare import Rules
from mirrorproof_sidecar.compare.formats import Schemas

__all__ = ["read_rules", "read_schemas"]

_MAX_FILE_BYTES = 1 << 20
_MAX_DESCRIPTOR_BYTES = 64 << 20


def read_rules(path: str) -> Rules:
    """The default rules and those of the file at `path`. Raises `SettingsError` that names what is wrong."""
    try:
        content = Path(path).read_bytes()
        if len(content) > _MAX_FILE_BYTES:
            raise SettingsError("larger than 1 MiB")
        if path.endswith(".json"):
            return Rules.from_json(content).with_defaults()
        return Rules.from_dict(tomllib.loads(content.decode())).with_defaults()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"MIRRORPROOF_RULES: {path} cannot be read: {error}") from error
    except SettingsError as error:
        raise SettingsError(f"MIRRORPROOF_RULES: {path}: {error}") from error


def read_schemas(path: str) -> Schemas:
    """The messages of the descriptor set at `path`. Raises `SettingsError` that names what is wrong."""
    try:
        content = Path(path).read_bytes()
        if len(content) > _MAX_DESCRIPTOR_BYTES:
            raise ValueError("it is larger than 64 MiB")
        return Schemas(content)
    except (OSError, ValueError) as error:
        raise SettingsError(f"MIRRORPROOF_DESCRIPTORS: {path} cannot be read: {error}") from error
