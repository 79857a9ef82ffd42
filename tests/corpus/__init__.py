"""A labelled corpus: pairs of answers with what truly differs and what is noise.

Knows services, faults and labels. Must not know how the comparison recognises anything: nothing here reads or
imports `compare.shapes` or `compare.correspond`.

`pairs(part)` makes the corpus, the same each time. Most pairs come out of small services (`families`): code
that answers a request in an environment, which holds the clock, the machine, the randomness and the
sequences. Run in two environments it gives two right answers, whose differences are noise by construction and
carry the reason (`marks`). A fault (`faults`) then spoils v2's answer in one place and says what that makes
different. So every difference between the two is labelled, and a test holds the corpus to that. Hard cases
are written by hand (`hard`). The held-out part has other seeds, other notations of ids and times, and
families of its own.

    .venv/bin/python -m tests.corpus                 the figures, by kind and by family
    .venv/bin/python -m tests.corpus --list-errors   what is missed or told wrongly (tuning part only)
"""

from __future__ import annotations

from .generator import pairs
from .labels import Noise, Pair, Part, Truth, Why

__all__ = ["Noise", "Pair", "Part", "Truth", "Why", "pairs"]
