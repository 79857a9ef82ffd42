"""What a suppressed AWS call is called, and what it is answered, in the operation's own output shape.

Members that the model requires are filled, identifiers too, and what the call itself says is echoed; the
services that applications read more of have an entry in `_ANSWERS`.

Knows AWS's models and answers. Must not know when a call is suppressed.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

__all__ = ["answer_of", "payload_of", "place_of"]

_Params = dict[str, Any]
_RANDOM_NAMES: Final = frozenset({
    "UploadId", "ReceiptHandle", "ClientRequestToken", "ClientToken", "clientToken", "IdempotencyToken",
    "MultipartUpload", "taskToken",
})  # fmt: skip
_MAKING: Final = re.compile(r"(?:Create|Start|Run|Register|Allocate|Import|Copy|Restore|Request)(?![a-z])")
_IDENTIFIER: Final = re.compile(r"(?:Id|ID|Arn|ARN|arn|Url|Uri)$|^id$")
_SET_CLAUSE: Final = re.compile(
    r"(#?\w+)\s*=\s*(:\w+)\s*(?:,|$|\s(?=(?:ADD|REMOVE|DELETE)\b))", re.IGNORECASE
)
_EMPTY: Final[dict[str, Callable[[], Any]]] = {
    "list": list, "map": dict, "boolean": bool, "blob": bytes, "float": float, "double": float,
}  # fmt: skip
_MAX_DEPTH: Final = 5
_MAX_HEAD_BYTES: Final = 65_536


# -- what the call is called


def place_of(service: str, params: _Params) -> tuple[str, str | None, str | None]:
    """The target of a call, and the queue and the table that rules can name."""
    if service == "s3" and "Bucket" in params:
        key = params.get("Key")
        return f"{params['Bucket']}/{key}" if key else str(params["Bucket"]), None, None
    if service == "dynamodb" and (tables := _tables(params)):
        return ", ".join(tables), None, tables[0] if len(tables) == 1 else None
    for name in ("QueueUrl", "QueueName", "TopicArn", "TargetArn"):
        if service in ("sqs", "sns") and params.get(name):
            queue = re.split("[/:]", str(params[name]))[-1]
            return queue, queue, None
    named = (name for name, value in params.items() if isinstance(value, str) and _is_name(name))
    first = next(named, None)
    return (str(params[first]) if first else service), None, None


def _is_name(name: str) -> bool:
    return name.endswith(("Name", "name", "Id", "Arn", "arn", "Identifier", "Bucket", "EventBus"))


def _tables(params: _Params) -> list[str]:
    if isinstance(params.get("TableName"), str):
        names = [params["TableName"]]
    elif isinstance(params.get("RequestItems"), dict):
        names = list(params["RequestItems"])
    else:
        acts = [act for each in params.get("TransactItems") or () for act in each.values()]
        names = [act["TableName"] for act in acts if isinstance(act, dict) and "TableName" in act]
    return sorted({name.rpartition("/")[2] for name in names})


def payload_of(params: _Params, input_shape: Any) -> _Params:
    """A call's parameters, without what is random by nature; bodies as their size and hash."""
    tokens = {
        name for name, shape in (input_shape.members if input_shape is not None else {}).items()
        if shape.metadata.get("idempotencyToken")
    }  # fmt: skip
    return {name: _plain(value) for name, value in params.items() if name not in tokens | _RANDOM_NAMES}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items() if name not in _RANDOM_NAMES}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()[:16]}
    return _stream(value) if hasattr(value, "read") else value


def _stream(stream: Any) -> Any:
    """A body that can be rewound, by its size and its first bytes; it is left where it stood."""
    try:
        start = stream.tell()
        head = stream.read(_MAX_HEAD_BYTES)
        stream.seek(0, io.SEEK_END)
        size = stream.tell() - start
        stream.seek(start)
    except Exception:
        return "a stream"
    raw = head if isinstance(head, bytes) else str(head).encode("utf-8", "replace")
    return {"bytes": size, "sha256": hashlib.sha256(raw).hexdigest()[:16]}


# -- what it is answered


def answer_of(model: Any, request: _Params, params: _Params, region: str | None) -> tuple[Any, _Params]:
    """(HTTP response, parsed response), as botocore's endpoint would give them."""
    from botocore.awsrequest import AWSResponse

    service = model.service_model.service_name
    status = int(model.http.get("responseCode", 200))
    parsed = _Filling(service, region or "us-east-1", params, bool(_MAKING.match(model.name))).top(model)
    special = _ANSWERS.get((service, model.name))
    if special is not None:
        parsed |= special(params, request)
    parsed["ResponseMetadata"] = {
        "RequestId": str(uuid.uuid4()), "HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0,
    }  # fmt: skip
    return AWSResponse(request.get("url", ""), status, {}, io.BytesIO(b"")), parsed


class _Filling:
    """Values for an output shape."""

    def __init__(self, service: str, region: str, params: _Params, making: bool) -> None:
        self._arn = f"arn:aws:{service}:{region}:000000000000:mirrorproof/{uuid.uuid4()}"
        self._params = params
        self._making = making
        self._identifies = service != "s3"  # whose optional identifiers say that a feature is on

    def top(self, model: Any) -> _Params:
        shape = model.output_shape
        if shape is None:
            return {}
        parsed = self._members(shape, 0)
        payload = shape.serialization.get("payload")
        if payload and payload not in parsed and self._streams(shape.members[payload]):
            parsed[payload] = self._stream(shape.members[payload])
        return parsed

    def _members(self, shape: Any, depth: int) -> _Params:
        filled: _Params = {}
        for name, member in shape.members.items():
            echo = self._params.get(name)
            if isinstance(echo, str) and member.type_name == "string":
                filled[name] = echo
            elif name in shape.required_members or self._worth_filling(name, member, depth):
                filled[name] = self._value(name, member, depth + 1)
        return filled

    def _worth_filling(self, name: str, member: Any, depth: int) -> bool:
        if member.type_name == "string":
            return self._identifies and bool(_IDENTIFIER.search(name)) and (depth == 0 or self._making)
        return self._making and member.type_name == "structure" and depth == 0 and self._identifies

    def _value(self, name: str, shape: Any, depth: int) -> Any:
        if shape.type_name == "structure":
            return self._members(shape, depth) if depth < _MAX_DEPTH else {}
        if shape.type_name == "string":
            return self._text(name, shape)
        if shape.type_name == "timestamp":
            return datetime.datetime.now(datetime.UTC)
        return _EMPTY.get(shape.type_name, int)()

    def _text(self, name: str, shape: Any) -> str:
        if shape.enum:
            return str(shape.enum[0])
        return self._arn if name.lower().endswith("arn") else str(uuid.uuid4())

    @staticmethod
    def _streams(shape: Any) -> bool:
        return bool(shape.serialization.get("streaming") or shape.serialization.get("eventstream"))

    @staticmethod
    def _stream(shape: Any) -> Any:
        return iter(()) if shape.serialization.get("eventstream") else _body(b"")


def _body(content: bytes) -> Any:
    from botocore.response import StreamingBody

    return StreamingBody(io.BytesIO(content), len(content))


def _md5(content: Any) -> str:
    raw: Any = content.encode() if isinstance(content, str) else content
    if hasattr(raw, "seek"):
        start = raw.tell()
        raw = b"".join(iter(lambda: content.read(_MAX_HEAD_BYTES), b""))
        content.seek(start)
    raw = bytes(raw) if isinstance(raw, (bytes, bytearray)) else uuid.uuid4().bytes
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def _etag(params: _Params, _: _Params) -> _Params:
    return {"ETag": f'"{_md5(params.get("Body", b""))}"'}


def _sent(params: _Params, _: _Params) -> _Params:
    answer = {"MessageId": str(uuid.uuid4()), "MD5OfMessageBody": _md5(params.get("MessageBody", ""))}
    if str(params.get("QueueUrl", "")).endswith(".fifo"):
        answer["SequenceNumber"] = "0"
    return answer


def _sent_batch(params: _Params, _: _Params) -> _Params:
    return {"Successful": [{"Id": each["Id"], **_sent(each, {})} for each in params["Entries"]]}


def _done_batch(params: _Params, _: _Params) -> _Params:
    return {"Successful": [{"Id": each["Id"]} for each in params["Entries"]]}


def _published_batch(params: _Params, _: _Params) -> _Params:
    entries = params["PublishBatchRequestEntries"]
    return {"Successful": [{"Id": e["Id"], "MessageId": str(uuid.uuid4())} for e in entries], "Failed": []}


def _each(list_name: str, answers: str, failed: str, **values: Callable[[], str]) -> Callable[..., _Params]:
    def answer(params: _Params, _: _Params) -> _Params:
        each = [{name: value() for name, value in values.items()} for _ in params[list_name]]
        return {failed: 0, answers: each}

    return answer


def _new_id() -> str:
    return str(uuid.uuid4())


def _attributes(params: _Params, request: _Params) -> _Params:
    """What `UpdateItem` returns of the new values: the key, and what `SET name = :value` says."""
    if params.get("ReturnValues") not in ("ALL_NEW", "UPDATED_NEW"):
        return {}
    try:
        typed = json.loads(request["body"])
    except (KeyError, TypeError, ValueError):
        return {}
    names, values = typed.get("ExpressionAttributeNames", {}), typed.get("ExpressionAttributeValues", {})
    expression = typed.get("UpdateExpression", "")
    made = {
        names.get(name, name): values[value]
        for name, value in _SET_CLAUSE.findall(expression)
        if value in values and "B" not in values[value]
    }
    return {"Attributes": (typed.get("Key", {}) if params["ReturnValues"] == "ALL_NEW" else {}) | made}


_ANSWERS: Final[dict[tuple[str, str], Callable[[_Params, _Params], _Params]]] = {
    ("s3", "PutObject"): _etag,
    ("s3", "UploadPart"): _etag,
    ("s3", "CreateMultipartUpload"): lambda *_: {"UploadId": _new_id()},
    ("s3", "CompleteMultipartUpload"): lambda params, request: {
        "ETag": f'"{_md5(None)}-1"', "Location": request.get("url", ""),
    },
    ("s3", "CopyObject"): lambda *_: {
        "CopyObjectResult": {"ETag": f'"{_md5(None)}"', "LastModified": datetime.datetime.now(datetime.UTC)}
    },
    ("s3", "UploadPartCopy"): lambda *_: {
        "CopyPartResult": {"ETag": f'"{_md5(None)}"', "LastModified": datetime.datetime.now(datetime.UTC)}
    },
    ("s3", "DeleteObjects"): lambda params, _: {
        "Deleted": [{"Key": each["Key"]} for each in params["Delete"]["Objects"]]
    },
    ("s3", "CreateBucket"): lambda params, _: {"Location": f"/{params['Bucket']}"},
    ("sqs", "SendMessage"): _sent,
    ("sqs", "SendMessageBatch"): _sent_batch,
    ("sqs", "DeleteMessageBatch"): _done_batch,
    ("sqs", "ChangeMessageVisibilityBatch"): _done_batch,
    ("sns", "PublishBatch"): _published_batch,
    ("dynamodb", "UpdateItem"): _attributes,
    ("dynamodb", "BatchWriteItem"): lambda *_: {"UnprocessedItems": {}},
    ("kinesis", "PutRecord"): lambda *_: {"ShardId": "shardId-000000000000", "SequenceNumber": "0"},
    ("kinesis", "PutRecords"): _each(
        "Records", "Records", "FailedRecordCount", SequenceNumber=lambda: "0",
        ShardId=lambda: "shardId-000000000000",
    ),
    ("firehose", "PutRecordBatch"): _each("Records", "RequestResponses", "FailedPutCount", RecordId=_new_id),
    ("events", "PutEvents"): _each("Entries", "Entries", "FailedEntryCount", EventId=_new_id),
    ("lambda", "Invoke"): lambda params, _: {
        "StatusCode": {"Event": 202, "DryRun": 204}.get(params.get("InvocationType", ""), 200),
        "Payload": _body(b"" if params.get("InvocationType") in ("Event", "DryRun") else b"null"),
    },
}  # fmt: skip
