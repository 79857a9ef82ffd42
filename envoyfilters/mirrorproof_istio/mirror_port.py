"""Mirroring by a port of its own: what arrives on v2's mirror port is a mirror by construction.

No caller from the edge can forge that, and it depends on no host suffix and no version of Envoy. The
documents are plain values; `render` turns them into YAML.

Knows Istio's and Kubernetes' objects. Must not know a cluster, files, or how YAML is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mirrorproof.decision import PAIR_ID_HEADER
from mirrorproof_istio.filters import MARK, mark_filter, strip_filter

__all__ = [
    "Document",
    "MirrorPort",
    "destination_rule",
    "documents",
    "gateway_filter",
    "mirror_service",
    "virtual_service",
    "workload_filter",
]

Document = dict[str, Any]

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, a label
_HTTP_MANAGER: Final = "envoy.filters.network.http_connection_manager"
_ROUTER: Final = "envoy.filters.http.router"


@dataclass(frozen=True, slots=True)
class MirrorPort:
    """What differs between one service and the next. `percentage` is the share of requests mirrored;
    `timeout_s` the route's timeout, which also clears mirrored requests that v2 never answers.

    Raises `ValueError` that names the key and the remedy.
    """

    service: str = "orders"
    namespace: str = "shop"
    primary_version: str = "v1"
    shadow_version: str = "v2"
    service_port: int = 80
    mirror_port: int = 9091
    percentage: float = 100.0
    timeout_s: int = 15
    gateway_namespace: str = "istio-system"
    gateway_labels: Mapping[str, str] = field(default_factory=lambda: {"istio": "ingressgateway"})

    def __post_init__(self) -> None:
        for key in ("service", "namespace", "primary_version", "shadow_version", "gateway_namespace"):
            if not _NAME.fullmatch(getattr(self, key)):
                raise ValueError(
                    f"{key} = {getattr(self, key)!r}: has to be a DNS label, such as orders or v2"
                )
        for key in ("service_port", "mirror_port"):
            if not 1 <= getattr(self, key) <= 65535:
                raise ValueError(f"{key} = {getattr(self, key)}: has to be a port from 1 to 65535")
        if not 0 <= self.percentage <= 100:
            raise ValueError(f"percentage = {self.percentage}: has to lie between 0 and 100")
        if self.timeout_s < 1:
            raise ValueError(f"timeout_s = {self.timeout_s}: has to be at least 1; 0 is no timeout to Istio")
        if not self.gateway_labels:
            raise ValueError("gateway_labels is empty: every gateway of the namespace would be selected")

    @property
    def mirror_host(self) -> str:
        """The name of the second Service, which only the mirror leads to."""
        return f"{self.service}-mirror"


def documents(plan: MirrorPort) -> list[Document]:
    """Every document, in the order in which it is safe to apply them: the mark before the mirror."""
    return [
        gateway_filter(plan),
        workload_filter(plan),
        mirror_service(plan),
        destination_rule(plan),
        virtual_service(plan),
    ]


def virtual_service(plan: MirrorPort) -> Document:
    """All traffic to v1, and a copy of it to v2's mirror port."""
    version = {"host": plan.service, "subset": plan.primary_version}
    mirror = {"host": plan.mirror_host, "port": {"number": plan.service_port}}
    route = {
        "name": plan.service,
        "timeout": f"{plan.timeout_s}s",
        "headers": {"request": {"set": {PAIR_ID_HEADER.decode(): "%UNIQUE_ID%"}, "remove": [MARK]}},
        "route": [{"destination": version}],
        "mirrors": [{"destination": mirror, "percentage": {"value": plan.percentage}}],
    }
    spec = {"hosts": [plan.service], "http": [route]}
    return _istio("VirtualService", "v1", plan.service, plan.namespace, spec)


def destination_rule(plan: MirrorPort) -> Document:
    """The two versions as subsets of the one Service."""
    versions = (plan.primary_version, plan.shadow_version)
    subsets = [{"name": version, "labels": {"version": version}} for version in versions]
    spec = {"host": plan.service, "subsets": subsets}
    return _istio("DestinationRule", "v1", plan.service, plan.namespace, spec)


def mirror_service(plan: MirrorPort) -> Document:
    """The second Service: v2 alone, by its mirror port."""
    port = {
        "name": "http",
        "appProtocol": "http",
        "port": plan.service_port,
        "targetPort": plan.mirror_port,
    }
    selector = {"app": plan.service, "version": plan.shadow_version}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": plan.mirror_host, "namespace": plan.namespace},
        "spec": {"selector": selector, "ports": [port]},
    }


def workload_filter(plan: MirrorPort) -> Document:
    """At the workload: strip the mark on every inbound port, set it on the mirror port alone."""
    strip = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "SIDECAR_INBOUND", "listener": _listener()},
        "patch": {"operation": "INSERT_FIRST", "value": strip_filter()},
    }
    mark = {
        "applyTo": "HTTP_FILTER",
        "match": {
            "context": "SIDECAR_INBOUND",
            "listener": {"portNumber": plan.mirror_port, **_listener(before=_ROUTER)},
        },
        "patch": {"operation": "INSERT_BEFORE", "value": mark_filter()},
    }
    spec = {"workloadSelector": {"labels": {"app": plan.service}}, "configPatches": [strip, mark]}
    return _istio("EnvoyFilter", "v1alpha3", f"{plan.service}-mirror-port", plan.namespace, spec)


def gateway_filter(plan: MirrorPort) -> Document:
    """At the edge: nobody outside can set the mark."""
    strip = {
        "applyTo": "HTTP_FILTER",
        "match": {"context": "GATEWAY", "listener": _listener()},
        "patch": {"operation": "INSERT_FIRST", "value": strip_filter()},
    }
    spec = {"workloadSelector": {"labels": dict(plan.gateway_labels)}, "configPatches": [strip]}
    return _istio("EnvoyFilter", "v1alpha3", "mirror-strip", plan.gateway_namespace, spec)


def _listener(before: str | None = None) -> Document:
    """Match the HTTP filter chain, or, in it, the filter to insert before."""
    chain: Document = {"name": _HTTP_MANAGER}
    if before:
        chain["subFilter"] = {"name": before}
    return {"filterChain": {"filter": chain}}


def _istio(kind: str, version: str, name: str, namespace: str, spec: Document) -> Document:
    return {
        "apiVersion": f"networking.istio.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
