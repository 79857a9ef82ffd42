"""boto3's guard: which operations are reads, and what an effect is called."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import boto3
import pytest

from mirrorproof import install_guards, uninstall_guards
from mirrorproof.context import MirrorContext, entered
from mirrorproof.decision import Decision, Mode
from mirrorproof.guards.aws import payload_of, place_of
from mirrorproof.guards.boto3 import is_read
from mirrorproof.settings import Settings


@pytest.mark.parametrize(("service", "operation"), [
    ("s3", "GetObject"), ("s3", "HeadObject"), ("s3", "ListObjectsV2"), ("dynamodb", "BatchGetItem"),
    ("dynamodb", "Query"), ("dynamodb", "Scan"), ("sqs", "GetQueueUrl"), ("kms", "Decrypt"),
    ("sts", "AssumeRole"),
])  # fmt: skip
def test_what_changes_nothing_is_a_read(service: str, operation: str) -> None:
    assert is_read(service, operation, {})


@pytest.mark.parametrize(("service", "operation"), [
    ("s3", "PutObject"), ("sqs", "ReceiveMessage"), ("stepfunctions", "GetActivityTask"),
    ("lambda", "Invoke"),
    ("cognito-idp", "GetUserAttributeVerificationCode"), ("new", "Getaway"), ("new", "Anything"),
])  # fmt: skip
def test_what_changes_something_or_is_unknown_is_a_write(service: str, operation: str) -> None:
    assert not is_read(service, operation, {})


def test_a_partiql_statement_is_a_read_if_it_selects() -> None:
    assert is_read("dynamodb", "ExecuteStatement", {"Statement": "SELECT * FROM orders"})
    assert not is_read("dynamodb", "ExecuteStatement", {"Statement": "DELETE FROM orders"})
    mixed = {"TransactStatements": [{"Statement": "select 1"}, {"Statement": "INSERT INTO orders"}]}
    assert not is_read("dynamodb", "ExecuteTransaction", mixed)


def test_a_call_on_several_tables_fits_no_rule_for_one_of_them() -> None:
    assert place_of("dynamodb", {"TableName": "orders"}) == ("orders", None, "orders")
    both = {"RequestItems": {"users": [], "orders": []}}
    assert place_of("dynamodb", both) == (
        "orders, users",
        None,
        None,
    )


def test_a_queue_is_named_by_the_last_part_of_its_url() -> None:
    assert place_of("sqs", {"QueueUrl": "https://sqs/1/orders.fifo"}) == ("orders.fifo", "orders.fifo", None)


def test_a_body_stays_where_it_stood_and_random_names_do_not_count() -> None:
    body = io.BytesIO(b"xx10.01")
    body.seek(2)
    first: Any = payload_of({"Body": body, "Key": "7", "UploadId": "random"}, None)
    assert body.read() == b"10.01"
    assert first == payload_of({"Body": b"10.01", "Key": "7", "UploadId": "other"}, None)


def test_a_rule_gives_what_the_operation_answers() -> None:
    rules = [{"kind": "aws.sqs.*", "returns": {"MessageId": "canned"}}]
    settings = Settings.load(env={}, effect_rules=rules)
    nowhere = {"endpoint_url": "http://127.0.0.1:1", "region_name": "eu-west-1"}
    sqs: Any = boto3.client("sqs", aws_access_key_id="x", aws_secret_access_key="x", **nowhere)
    install_guards("boto3")
    try:
        with entered(MirrorContext(Decision(Mode.DRY_RUN), settings=settings)):
            answer = sqs.send_message(QueueUrl="http://127.0.0.1:1/1/orders", MessageBody="hello")
    finally:
        uninstall_guards()
    assert answer["MessageId"] == "canned"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_an_application_imports_the_transfers_after_the_guards() -> None:
    code = """
from mirrorproof import install_guards
from mirrorproof.guards import installed_guards
install_guards()
from boto3.s3.transfer import TransferConfig
assert installed_guards()["boto3_transfer"].active
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
