"""What v2 can get wrong: each fault spoils one place of an answer and says which true differences that makes.

Knows trees with marks, and what bugs look like. Must not know how a comparison finds or hides anything.

A fault takes the answer and a source of choices, changes the answer, and returns its labels; `None` where
there is nothing that it could spoil. `FAULTS` has them with their weights; those called hard look like noise.
"""

from __future__ import annotations

from random import Random

from ..answers import Answer
from ..labels import Truth
from . import arrays, outside, values, volatile
from .touching import Fault

__all__ = ["FAULTS", "Fault", "spoil"]

FAULTS: dict[Fault, int] = {
    values.off_by_one: 6,
    values.off_by_a_cent: 6,
    values.truncated: 3,
    values.other_case: 4,
    values.other_word: 3,
    values.mojibake: 3,
    values.null_instead: 4,
    values.number_as_text: 3,
    values.integer_as_float: 2,
    values.flipped: 3,
    values.key_gone: 5,
    values.volatile_gone: 2,
    values.key_added: 4,
    volatile.stored_time_by_a_day: 3,
    volatile.stored_time_by_a_zone: 3,
    volatile.fresh_time_shifted: 6,
    volatile.volatile_is_null: 4,
    volatile.volatile_is_empty: 2,
    volatile.nil_uuid: 4,
    volatile.wrong_reference: 5,
    volatile.swapped_ids: 3,
    volatile.wrong_host: 4,
    arrays.item_gone: 5,
    arrays.item_twice: 4,
    arrays.items_swapped: 4,
    arrays.emptied: 2,
    outside.header_gone: 3,
    outside.header_added: 2,
    outside.header_changed: 2,
    outside.other_status: 3,
    outside.failed: 2,
    outside.effect_gone: 4,
    outside.effect_twice: 3,
    outside.effect_other: 5,
}


def spoil(
    answer: Answer, random: Random, without: tuple[str, ...] = (), tries: int = 12
) -> tuple[str, list[Truth]] | None:
    """One fault that fits the answer and is not among `without`: its name and labels."""
    choices = {fault: weight for fault, weight in FAULTS.items() if fault.__name__ not in without}
    for fault in random.choices(list(choices), list(choices.values()), k=tries):
        truths = fault(answer, random)
        if truths:
            return fault.__name__, truths
    return None
