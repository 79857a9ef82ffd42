"""boto3, with moto's server in the place of AWS."""

from __future__ import annotations

import hashlib
import io
import sys
import urllib.request
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from clients.servers import Process, free_port, wait_for
from clients.table import Case, Client


class AwsPeer:
    """moto's server in a process of its own, with a bucket, two queues, a topic and a table."""

    about = "moto's server, which speaks AWS's protocols (no real AWS)"

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._process = Process([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])
        wait_for(lambda: urllib.request.urlopen(self.url + "/moto-api/data.json").status == 200, "moto")
        self._s3, self._sqs, self._dynamodb = self.open("s3"), self.open("sqs"), self.open("dynamodb")
        self._s3.create_bucket(Bucket="orders")
        self._s3.put_object(Bucket="orders", Key="kept", Body=b"kept")
        self.queue = self._sqs.create_queue(QueueName="orders")["QueueUrl"]
        self.full = self._sqs.create_queue(QueueName="full")["QueueUrl"]
        for number in range(10):
            self._sqs.send_message(QueueUrl=self.full, MessageBody=f"order {number}")
        sns = self.open("sns")
        self.topic = sns.create_topic(Name="orders")["TopicArn"]
        arn = "arn:aws:sqs:us-east-1:123456789012:orders"
        sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        self._dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        self._dynamodb.put_item(TableName="orders", Item={"id": {"S": "1"}, "total": {"N": "0"}})

    def open(self, service: str) -> Any:
        return boto3.client(service, **self.how())

    def how(self) -> dict[str, Any]:
        return {
            "endpoint_url": self.url, "region_name": "us-east-1", "aws_access_key_id": "none",
            "aws_secret_access_key": "none", "config": Config(retries={"total_max_attempts": 1}),
        }  # fmt: skip

    def look(self) -> Any:
        """Messages waiting and in flight, objects with their versions, unfinished uploads, items."""
        counts = [
            [value for name, value in sorted(self._queue(url).items()) if "NumberOfMessages" in name]
            for url in (self.queue, self.full)
        ]
        listed = self._s3.list_objects_v2(Bucket="orders").get("Contents", [])
        objects = [(each["Key"], str(each["LastModified"]), each["ETag"]) for each in listed]
        uploads = len(self._s3.list_multipart_uploads(Bucket="orders").get("Uploads", []))
        items = sorted(map(repr, self._dynamodb.scan(TableName="orders")["Items"]))
        return counts, objects, uploads, items

    def _queue(self, url: str) -> dict[str, str]:
        answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return dict(answer["Attributes"])

    def stop(self) -> None:
        self._process.stop()


def _client(service: str) -> Any:
    def opened(peer: AwsPeer) -> Any:
        stack = ExitStack()
        client = peer.open(service)
        stack.callback(client.close)
        stack.client = client  # type: ignore[attr-defined]
        return stack

    return opened


def _put_object(held: Any, peer: AwsPeer) -> None:
    answer = held.client.put_object(Bucket="orders", Key=_fresh("object"), Body=b"10.01")
    assert answer["ETag"] == f'"{hashlib.md5(b"10.01").hexdigest()}"'
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def _upload(held: Any, peer: AwsPeer) -> None:
    held.client.upload_fileobj(io.BytesIO(b"10.01"), "orders", _fresh("upload"))


def _upload_parts(held: Any, peer: AwsPeer) -> None:
    size = 5 << 20
    config = TransferConfig(multipart_threshold=size, multipart_chunksize=size, max_concurrency=1)
    held.client.upload_fileobj(io.BytesIO(b"." * (size + 1)), "orders", _fresh("parts"), Config=config)


def _read_object(held: Any, peer: AwsPeer) -> None:
    assert held.client.get_object(Bucket="orders", Key="kept")["Body"].read() == b"kept"
    pages = held.client.get_paginator("list_objects_v2").paginate(Bucket="orders", Prefix="kept")
    assert [each["Key"] for page in pages for each in page["Contents"]] == ["kept"]
    held.client.get_waiter("object_exists").wait(Bucket="orders", Key="kept")
    url = held.client.generate_presigned_url("put_object", Params={"Bucket": "orders", "Key": "later"})
    assert url.startswith(peer.url)


def _send_message(held: Any, peer: AwsPeer) -> None:
    answer = held.client.send_message(QueueUrl=peer.queue, MessageBody="order 7")
    assert answer["MessageId"]
    assert answer["MD5OfMessageBody"] == hashlib.md5(b"order 7").hexdigest()


def _send_batch(held: Any, peer: AwsPeer) -> None:
    entries = [{"Id": name, "MessageBody": f"order {name}"} for name in "ab"]
    answer = held.client.send_message_batch(QueueUrl=peer.queue, Entries=entries)
    assert [each["Id"] for each in answer["Successful"]] == ["a", "b"]


def _receive_one(held: Any, peer: AwsPeer) -> None:
    held.client.receive_message(QueueUrl=peer.full, WaitTimeSeconds=0, VisibilityTimeout=600)


def _publish(held: Any, peer: AwsPeer) -> None:
    assert held.client.publish(TopicArn=peer.topic, Message="order 7")["MessageId"]


def _put_item(held: Any, peer: AwsPeer) -> None:
    held.client.put_item(TableName="orders", Item={"id": {"S": _fresh("item")}})


def _read_item(held: Any, peer: AwsPeer) -> None:
    assert "Item" in held.client.get_item(TableName="orders", Key={"id": {"S": "1"}})
    assert held.client.query(
        TableName="orders", KeyConditionExpression="id = :id", ExpressionAttributeValues={":id": {"S": "1"}}
    )["Count"]


class _Table(ExitStack):
    def __init__(self, peer: AwsPeer) -> None:
        super().__init__()
        self.table = boto3.resource("dynamodb", **peer.how()).Table("orders")


def _update_item(held: _Table, peer: AwsPeer) -> None:
    answer = held.table.update_item(
        Key={"id": _fresh("item")},
        UpdateExpression="SET #t = :t",
        ExpressionAttributeNames={"#t": "total"},
        ExpressionAttributeValues={":t": Decimal("10.01")},
        ReturnValues="ALL_NEW",
    )
    assert answer["Attributes"]["total"] == Decimal("10.01")


def _batch_writer(held: _Table, peer: AwsPeer) -> None:
    with held.table.batch_writer() as batch:
        batch.put_item(Item={"id": _fresh("item"), "total": Decimal("10.01")})


_made: list[str] = []


def _fresh(what: str) -> str:
    _made.append(what)
    return f"{what}-{len(_made)}"


S3, SQS, DYNAMODB = _client("s3"), _client("sqs"), _client("dynamodb")
PEERS = {"aws": AwsPeer}
CLIENTS = [
    Client(
        name="boto3", guard="boto3", peer="aws",
        not_covered=(
            "aiobotocore; awscrt's transfer client opened by hand (boto3 does not choose it while mirrored)."
            " After suppressed writes AWS still answers reads with what was there before."
        ),
        cases=(
            Case(name="s3 put_object", client=S3, write=_put_object, read=_read_object,
                 kinds=("aws.s3.PutObject",)),
            Case(name="s3 upload_fileobj", client=S3, write=_upload, kinds=("aws.s3.PutObject",)),
            Case(name="s3 upload_fileobj in parts", client=S3, write=_upload_parts, kinds=(
                "aws.s3.CreateMultipartUpload", "aws.s3.UploadPart", "aws.s3.UploadPart",
                "aws.s3.CompleteMultipartUpload",
            )),
            Case(name="sqs send_message", client=SQS, write=_send_message, kinds=("aws.sqs.SendMessage",)),
            Case(name="sqs send_message_batch", client=SQS, write=_send_batch,
                 kinds=("aws.sqs.SendMessageBatch",)),
            Case(name="sqs receive_message", client=SQS, write=_receive_one, kinds=("queue.consume",)),
            Case(name="sns publish", client=_client("sns"), write=_publish, kinds=("aws.sns.Publish",)),
            Case(name="dynamodb put_item", client=DYNAMODB, write=_put_item, read=_read_item,
                 kinds=("aws.dynamodb.PutItem",)),
            Case(name="dynamodb Table.update_item", client=_Table, write=_update_item,
                 kinds=("aws.dynamodb.UpdateItem",)),
            Case(name="dynamodb Table.batch_writer", client=_Table, write=_batch_writer,
                 kinds=("aws.dynamodb.BatchWriteItem",)),
        ),
    ),
]  # fmt: skip
