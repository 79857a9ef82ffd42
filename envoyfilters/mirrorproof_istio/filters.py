"""The two Envoy HTTP filters that make the mark trustworthy: one strips it, one sets it.

Each is the object that an EnvoyFilter carries as `patch.value`; the demo loads the same objects into a real
Envoy. Native `header_mutation` filters: a Lua filter costs about twelve times as much, and its `add` leaves
a forged value standing beside the true one.

Knows Envoy's filter configuration. Must not know Istio's manifests around it.
"""

from __future__ import annotations

from typing import Any, Final

from mirrorproof.decision import MARK_HEADER

__all__ = ["MARK", "SPELLINGS", "mark_filter", "strip_filter"]

MARK: Final = MARK_HEADER.decode("ascii")

SPELLINGS: Final = (MARK, "x_istio_mirror", "x_istio-mirror", "x-istio_mirror")
"""What a server behind Envoy may read as the mark. Envoy forwards underscores, and WSGI and CGI fold them
into the real header's name. Case is no matter: Envoy compares names in lower case."""

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"


def strip_filter() -> dict[str, Any]:
    """Remove the mark, however it is spelt: nobody outside can set it."""
    return _mutation("mirror.strip", [{"remove": spelling} for spelling in SPELLINGS])


def mark_filter() -> dict[str, Any]:
    """Set the mark, alone: whatever a caller had put there is overwritten, never added to."""
    header = {"key": MARK, "value": "true"}
    return _mutation("mirror.mark", [{"append": {"header": header, "append_action": _OVERWRITE}}])


_OVERWRITE: Final = "OVERWRITE_IF_EXISTS_OR_ADD"


def _mutation(name: str, mutations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": _TYPE, "mutations": {"request_mutations": mutations}}}
