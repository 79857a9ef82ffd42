"""The services of the corpus, by what they do. Each endpoint is right in any environment; faults are not made
here.

Shapes follow public APIs and formats as their documents show them; no answer was copied from one.
"""

from __future__ import annotations

from ..building import Service
from . import commerce, content, documents, held_out, identity, operations, places, streams

__all__ = ["HELD_OUT_ONLY", "SERVICES"]

SERVICES: tuple[Service, ...] = (
    *commerce.SERVICES,
    *content.SERVICES,
    *identity.SERVICES,
    *places.SERVICES,
    *streams.SERVICES,
    *documents.SERVICES,
    *operations.SERVICES,
)
HELD_OUT_ONLY: tuple[Service, ...] = held_out.SERVICES
