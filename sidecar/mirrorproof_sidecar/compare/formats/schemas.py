"""What protobuf messages look like, by a descriptor set (`protoc --include_imports --descriptor_set_out=…`).

Knows protobuf's library, which is imported when a set is read. Must not know files or settings.
"""

from __future__ import annotations

from typing import Any

from mirrorproof_sidecar.compare.formats.reading import UnreadableError

__all__ = ["Schemas"]


class Schemas:
    """The messages and services of one descriptor set."""

    def __init__(self, descriptor_set: bytes) -> None:
        """Raises `ValueError` where it is none, or lacks what it imports."""
        from google.protobuf import descriptor_pb2, descriptor_pool, message

        found = descriptor_pb2.FileDescriptorSet()
        try:
            found.ParseFromString(descriptor_set)
        except message.DecodeError as error:
            raise ValueError(
                "it is no descriptor set: protoc --include_imports --descriptor_set_out makes one"
            ) from error
        self._pool = descriptor_pool.DescriptorPool()
        try:
            for file in found.file:
                self._pool.Add(file)
            for file in found.file:
                self._pool.FindFileByName(file.name)
        except (TypeError, KeyError) as error:
            raise ValueError(
                "it lacks a file that another imports: make it with --include_imports"
            ) from error

    def answer_of(self, call: str) -> Any:
        """What `/package.Service/Method` answers with. Raises `UnreadableError` where it is not described."""
        service, _, method = call.removeprefix("/").rpartition("/")
        try:
            return self._pool.FindServiceByName(service).methods_by_name[method].output_type
        except KeyError:
            raise UnreadableError("the descriptor set does not name this method") from None

    def message(self, name: str) -> Any:
        """The type of this full name. Raises `UnreadableError` where it is not described."""
        try:
            return self._pool.FindMessageTypeByName(name)
        except KeyError:
            raise UnreadableError("the descriptor set does not name this message") from None

    def read(self, kind: Any, data: bytes) -> dict[str, Any]:
        """A message as protobuf's JSON has it, with the names of its `.proto`; fields that are not described
        are told by number. Raises `UnreadableError`.
        """
        from google.protobuf import json_format, message, message_factory

        made = message_factory.GetMessageClass(kind)()
        try:
            made.ParseFromString(data)
            tree: dict[str, Any] = json_format.MessageToDict(
                made, preserving_proto_field_name=True, descriptor_pool=self._pool
            )
        except (message.DecodeError, json_format.Error, TypeError, ValueError, RecursionError) as error:
            raise UnreadableError("no message of its type") from error
        return tree | _unknown(made)


def _unknown(made: Any) -> dict[str, Any]:
    from google.protobuf import unknown_fields

    fields = unknown_fields.UnknownFieldSet(made)
    found: dict[str, list[Any]] = {}
    for field in fields:
        found.setdefault(f"#{field.field_number}", []).append(_shown(field.data))
    return dict(found)


def _shown(data: Any) -> Any:
    if isinstance(data, bytes):
        return data.hex()
    return data if isinstance(data, int) else [_shown(each.data) for each in data]
