"""The two Envoys of the demo, as configuration: the edge, and the sidecar in front of v2's mirror port.

Pure: ports in, a bootstrap out. The filters are the very objects that the shipped EnvoyFilters carry. What
Istio would make of the manifests is written out by hand here: strip at the edge, an id on the route, a
mirror that is not sampled; at v2, strip and mark on the mirror port alone.

Knows Envoy's configuration. Must not know processes or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mirrorproof_istio.filters import MARK, mark_filter, strip_filter

__all__ = [
    "EDGE",
    "ENDPOINT_VARIABLE",
    "MIRROR_CLUSTER",
    "PROTOCOL_VARIABLE",
    "SIDECAR",
    "Collector",
    "edge_config",
    "sidecar_config",
]

EDGE: Final = "edge"
SIDECAR: Final = "mirror_port"
MIRROR_CLUSTER: Final = "shop_mirror"
"""The edge's cluster that leads to v2's mirror port; its statistics say how many requests were mirrored."""

ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL_VARIABLE: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"

_ROUTE_TIMEOUT: Final = "15s"
_TYPES: Final = "type.googleapis.com/envoy"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

Config = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Collector:
    """Where spans go. Without a host Envoy still starts traces, and exports nothing."""

    host: str = ""
    port: int = 0
    grpc: bool = False

    @classmethod
    def from_endpoint(cls, endpoint: str | None, protocol: str | None) -> Collector:
        """From the values of the two variables. Plain HTTP only: Envoy's spans are left out otherwise."""
        parts = urlsplit(endpoint or "")
        if parts.scheme != "http" or not parts.hostname:
            return cls()
        grpc = protocol == "grpc"
        return cls(parts.hostname, parts.port or (4317 if grpc else 4318), grpc)


def edge_config(*, live_port: int, mirror_port: int, collector: Collector | None = None) -> Config:
    """The edge: everything to v1 on `live_port`, a copy to the sidecar on `mirror_port`."""
    collector = collector or Collector()
    manager = _manager(EDGE, [strip_filter()], _edge_route())
    manager["tracing"] = _tracing(collector)
    clusters = [_cluster("shop", "127.0.0.1", live_port), _cluster(MIRROR_CLUSTER, "127.0.0.1", mirror_port)]
    return _bootstrap(EDGE, manager, [*clusters, _collector_cluster(collector)])


def sidecar_config(*, app_port: int) -> Config:
    """In front of v2's mirror port: whatever comes in is a mirror, and is marked as one."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": _ROUTE_TIMEOUT}}
    manager = _manager(SIDECAR, [strip_filter(), mark_filter()], route)
    # It passes on what the edge sent, as Istio's sidecars do.
    manager |= {"generate_request_id": False, "preserve_external_request_id": True}
    return _bootstrap(SIDECAR, manager, [_cluster("app", "127.0.0.1", app_port)])


def _edge_route() -> Config:
    mirror_id = {"header": {"key": "x-mirror-id", "value": "%UNIQUE_ID%"}}
    never_sampled = {"cluster": MIRROR_CLUSTER, "trace_sampled": False}  # as Istio has it
    action = {"cluster": "shop", "timeout": _ROUTE_TIMEOUT, "request_mirror_policies": [never_sampled]}
    return {
        "match": {"prefix": "/"},
        "request_headers_to_add": [mirror_id | {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}],
        "request_headers_to_remove": [MARK],
        "route": action,
    }


def _manager(name: str, filters: list[Config], route: Config) -> Config:
    host = {"name": name, "domains": ["*"], "include_request_attempt_count": True, "routes": [route]}
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
    }
    return {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"name": name, "virtual_hosts": [host]},
        "http_filters": [*filters, router],
    }


def _tracing(collector: Collector) -> Config:
    exporter: Config
    if collector.grpc:
        exporter = {"grpc_service": {"envoy_grpc": {"cluster_name": "collector"}, "timeout": "1s"}}
    else:
        uri = f"http://{collector.host or 'nowhere'}:{collector.port}/v1/traces"
        exporter = {"http_service": {"http_uri": {"uri": uri, "cluster": "collector", "timeout": "1s"}}}
    typed = {"@type": f"{_TYPES}.config.trace.v3.OpenTelemetryConfig", "service_name": EDGE, **exporter}
    # Spans are children of each other's: the shop's hangs below Envoy's span of the call.
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": typed},
        "spawn_upstream_span": True,
    }


def _collector_cluster(collector: Collector) -> Config:
    if not collector.host:
        return {"name": "collector", "type": "STATIC", "load_assignment": {"cluster_name": "collector"}}
    cluster = _cluster("collector", collector.host, collector.port)
    if collector.grpc:
        protocol: Config = {"explicit_http_config": {"http2_protocol_options": {}}}
        options = {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", **protocol}
        cluster["typed_extension_protocol_options"] = {_HTTP_OPTIONS: options}
    return cluster


def _cluster(name: str, host: str, port: int) -> Config:
    address = {"socket_address": {"address": host, "port_value": port}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
    return {
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
    }


def _bootstrap(name: str, manager: Config, clusters: list[Config]) -> Config:
    """Port 0 everywhere: Envoy takes free ports, and its admin page says which."""
    free_port = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    listener = {"name": name, "address": free_port, "filter_chains": [chain]}
    return {
        "node": {"id": name, "cluster": "mirrorproof-demo"},
        "admin": {"address": free_port},
        "static_resources": {"listeners": [listener], "clusters": clusters},
    }
