"""aiokafka's `AIOKafkaAdminClient`: what its writes answer, in the protocol's own responses.

What only validates is a read. A write that is not known here is refused, since nothing could answer it.

Knows aiokafka's administration. Must not decide anything: `guards.acting` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from mirrorproof.guards.acting import Write, acting_async, refuse_unanswered
from mirrorproof.guards.kafka import given
from mirrorproof.rulings import Where

__all__ = ["is_write", "judge"]

_READS: Final = ("list_", "describe_", "find_")
_NEITHER: Final = frozenset({"start", "close"})


def is_write(name: str) -> bool:
    """Whether the client's method of this name changes something, or may."""
    return not name.startswith(("_", *_READS)) and name not in _NEITHER


def judge(name: str) -> Callable[..., Any]:
    """What stands around the client's method of this name."""
    stub = _ANSWERS.get(name)
    if stub is None:
        return lambda *call: _refuse(name, *call)

    def describe(admin: Any, args: Any, kwargs: Any) -> Write | None:
        return None if given(args, kwargs, 2, "validate_only") else _write(name, args, kwargs)

    return acting_async(describe, stub)


def _refuse(name: str, wrapped: Any, admin: Any, args: Any, kwargs: Any) -> Any:
    refuse_unanswered(_write(name, args, kwargs))
    return wrapped(*args, **kwargs)


def _subjects(args: Any, kwargs: Any) -> Any:
    return next(iter((*args, *kwargs.values())), ())


def _write(name: str, args: Any, kwargs: Any) -> Write:
    subjects = _subjects(args, kwargs)
    several = subjects if isinstance(subjects, list | tuple | set | frozenset | dict) else (subjects,)
    names = ",".join(sorted(str(getattr(each, "name", getattr(each, "topic", each))) for each in several))
    return Write(f"kafka.{name}", f"topic {names}", None, where=Where(queue=names))


# -- answers


def _created(admin: Any, args: Any, kwargs: Any) -> Any:
    from aiokafka.protocol.admin import CreateTopicsResponse_v3

    return CreateTopicsResponse_v3(0, [(each.name, 0, None) for each in _subjects(args, kwargs)])


def _deleted(admin: Any, args: Any, kwargs: Any) -> Any:
    from aiokafka.protocol.admin import DeleteTopicsResponse_v3

    return DeleteTopicsResponse_v3(0, [(each, 0) for each in _subjects(args, kwargs)])


def _parted(admin: Any, args: Any, kwargs: Any) -> Any:
    from aiokafka.protocol.admin import CreatePartitionsResponse_v1

    return CreatePartitionsResponse_v1(0, [(each, 0, None) for each in _subjects(args, kwargs)])


def _altered(admin: Any, args: Any, kwargs: Any) -> Any:
    from aiokafka.protocol.admin import AlterConfigsResponse_v1

    resources = [(0, None, int(each.resource_type), each.name) for each in _subjects(args, kwargs)]
    return [AlterConfigsResponse_v1(0, resources)]


def _cut(admin: Any, args: Any, kwargs: Any) -> Any:
    return {where: records.before_offset for where, records in _subjects(args, kwargs).items()}


_ANSWERS: Final[dict[str, Callable[..., Any]]] = {
    "create_topics": _created,
    "delete_topics": _deleted,
    "create_partitions": _parted,
    "alter_configs": _altered,
    "delete_records": _cut,
}
