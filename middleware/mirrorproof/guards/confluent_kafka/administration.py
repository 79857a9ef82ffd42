"""Administration: `AdminClient` checks a call and hands it, with a future, to C, which is where it is judged.

A suppressed call sets that future as C would, so that the client makes its own answers of it. A call that
only validates is a read.

Knows what confluent-kafka's C code answers. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mirrorproof.guards.acting import Describe, Write, acting
from mirrorproof.rulings import Where

__all__ = ["JUDGED"]

_NO_OFFSET: Final = -1
_DETAILS: Final = ("num_partitions", "replication_factor", "new_total_count", "partition", "offset")


def _subject(each: Any) -> str:
    for name in ("topic", "name", "group_id", "user"):
        found = getattr(each, name, None)
        if found is not None:
            return str(found)
    return str(each)


def _details(each: Any) -> tuple[str, ...]:
    return tuple(f"{name} {value}" for name in _DETAILS if (value := getattr(each, name, None)) is not None)


def _describe(name: str, what: str, at: int) -> Describe:
    def describe(admin: Any, args: Any, kwargs: Any) -> Write | None:
        if kwargs.get("validate_only"):
            return None
        subjects = sorted((_subject(each), _details(each)) for each in args[at] or ())
        names = ",".join(subject for subject, _ in subjects)
        where = Where(queue=names) if what == "topic" else Where()
        payload = [list(details) for _, details in subjects if details]
        return Write(f"kafka.{name}", f"{what} {names}".strip(), payload or None, where=where)

    return describe


def _judge(name: str, what: str, at: int, result: Callable[[Any], Any]) -> Callable[..., Any]:
    def stub(admin: Any, args: Any, kwargs: Any) -> None:
        args[at + 1].set_result(result(args[at]))

    judge = acting(_describe(name, what, at), stub)

    def wrapper(wrapped: Any, admin: Any, args: Any, kwargs: Any) -> None:
        if judge(wrapped, admin, args, kwargs) is not None:  # a rule's own answer, where C returns nothing
            stub(admin, args, kwargs)

    return wrapper


def _deleted_records(partitions: Any) -> Any:
    from confluent_kafka.admin._records import DeletedRecords

    return {each: DeletedRecords(each.offset if each.offset >= 0 else _NO_OFFSET) for each in partitions}


# A method of C's: what it changes, where its subjects are among its arguments, what it answers about them.
_ANSWERS: Final[dict[str, tuple[str, int, Callable[[Any], Any]]]] = {
    "create_topics": ("topic", 0, lambda topics: {each.topic: None for each in topics}),
    "delete_topics": ("topic", 0, dict.fromkeys),
    "create_partitions": ("topic", 0, lambda topics: {each.topic: None for each in topics}),
    "delete_records": ("topic", 0, _deleted_records),
    "alter_configs": ("resource", 0, dict.fromkeys),
    "incremental_alter_configs": ("resource", 0, dict.fromkeys),
    "create_acls": ("ACL", 0, lambda acls: [None for _ in acls]),
    "delete_acls": ("ACL", 0, lambda filters: [[] for _ in filters]),
    "delete_consumer_groups": ("group", 0, lambda groups: [None for _ in groups]),
    "alter_consumer_group_offsets": ("group", 0, list),
    "alter_user_scram_credentials": ("user", 0, lambda changes: {each.user: None for each in changes}),
    "elect_leaders": ("topic", 1, lambda partitions: dict.fromkeys(partitions or ())),
}
JUDGED: Final[dict[str, Callable[..., Any]]] = {name: _judge(name, *each) for name, each in _ANSWERS.items()}
"""By the name of a method of `cimpl._AdminClientImpl`: what stands around it."""
