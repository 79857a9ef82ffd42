"""Endpoints and path patterns."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirrorproof_sidecar.endpoints import Endpoint, endpoint_of, path_pattern, template_of


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/", "/"),
        ("/orders", "/orders"),
        ("/orders/17/items/3", "/orders/{id}/items/{id}"),
        ("/orders/9f1c2b7a-3a50-4c8e-9d15-0f6a3f6a1b2c", "/orders/{id}"),
        ("/blob/9f1c2b7a", "/blob/{id}"),
        ("/t/eyJhbGciOiJIUzI1NiIsInR5cCI6", "/t/{id}"),
        ("/facade/decade/deadbeef", "/facade/decade/deadbeef"),
        ("/v1/users", "/v1/users"),
        ("/a/²", "/a/²"),
        ("/" + "x" * 5000, "(long)"),
    ],
)
def test_segments_that_look_like_ids_become_a_template(path: str, template: str) -> None:
    assert template_of(path) == template


@given(st.text(max_size=60))
def test_a_template_is_its_own_template(path: str) -> None:
    assert template_of(template_of(path)) == template_of(path)


def test_the_frameworks_route_wins_over_a_guess() -> None:
    assert endpoint_of("s", "GET", "/orders/abc", "/orders/{name}").route == "/orders/{name}"
    assert len(endpoint_of("s", "GET", "/", "x" * 1000).route) == 300


def test_endpoints_differ_by_service_method_and_route() -> None:
    ids = {
        Endpoint(*names).id
        for names in (("a", "GET", "/"), ("b", "GET", "/"), ("a", "PUT", "/"), ("a", "GET", "/x"))
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("pointer", "pattern"),
    [
        ("/body/items/0/price", "/body/items/*/price"),
        ("/body/by_id/9f1c2b7a-3a50-4c8e-9d15-0f6a3f6a1b2c/x", "/body/by_id/*/x"),
        ("/body/line1/deadbeef", "/body/line1/deadbeef"),
        ("/status", "/status"),
        ("/effects/http.put/http:~1~1pay~1card~1123/0", "/effects/http.put/http:~1~1pay~1card~1{id}/*"),
        ("/effects/sql.insert/orders/1", "/effects/sql.insert/orders/*"),
    ],
)  # fmt: skip
def test_what_differs_from_item_to_item_is_left_out_of_a_pattern(pointer: str, pattern: str) -> None:
    assert path_pattern(pointer) == pattern
