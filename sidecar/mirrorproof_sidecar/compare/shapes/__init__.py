"""Recognisers of volatile values: two that differ as any two answers of one version would.

Pure. Knows two values of one place, its path, and facts about the two answers. Must not know other places:
that a value stands for the same thing everywhere is `correspond`'s matter.

Theory of operation. A recogniser has to be convinced by both values and by what they are measured against,
never by looks alone: a time has to be fresh in its own answer, a duration has to fit into it, a host has to
be the one that was asked, characters drawn by chance need a name that says so. What stood in the request was
not made anew. So what a version gets wrong (another notation, a stale time, a null, another version of UUID)
stays a difference. Every recogniser is symmetric: with the sides swapped, it says the same.
"""

from __future__ import annotations

from mirrorproof_sidecar.compare.shapes.facts import Facts, facts_of
from mirrorproof_sidecar.compare.shapes.recognise import recognise, value_shape
from mirrorproof_sidecar.compare.shapes.shape import Shape
from mirrorproof_sidecar.compare.shapes.times import Moment

__all__ = ["Facts", "Moment", "Shape", "facts_of", "recognise", "value_shape"]
