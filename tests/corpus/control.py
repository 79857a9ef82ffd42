"""What the product learns from a control: v1's traffic beside a second v1.

Knows the product's learner of noise by its public interface. Must not know recognisers.
"""

from __future__ import annotations

from typing import Any

from .labels import Part

__all__ = ["learnt"]


def learnt(part: Part) -> dict[Any, str]:
    """What is noise by the background traffic of a part. Nothing yet: the learner is to come."""
    return {}
