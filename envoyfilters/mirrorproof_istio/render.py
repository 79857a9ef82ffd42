"""The manifests as YAML that people read: the same text for the same plan, each document with its reason.

Knows YAML and words. Must not know what is inside a document.
"""

from __future__ import annotations

from textwrap import fill
from typing import Any

import yaml

from mirrorproof_istio.mirror_port import MirrorPort, documents

__all__ = ["render"]

_WIDTH = 110


def render(plan: MirrorPort | None = None) -> str:
    """All documents of `plan`, commented, ready for `kubectl apply -f`."""
    plan = plan or MirrorPort()
    parts = ["---\n" + _comment(_reason(document, plan)) + _dump(document) for document in documents(plan)]
    return _comment(_head(plan)) + "".join(parts)


def _head(plan: MirrorPort) -> str:
    return (
        f"Mirrors {plan.percentage:g} % of the live traffic of {plan.service} to {plan.shadow_version}, on a "
        f"port of its own, and marks it there.\n"
        f"Needs: Deployments of {plan.primary_version} and {plan.shadow_version} with the labels app: "
        f"{plan.service} and version, and a Service {plan.service}; pods of {plan.shadow_version} that "
        f"listen on {plan.mirror_port} as well as on their usual port.\n"
        "This file is rendered: change mirrorproof_istio and run "
        "`python -m mirrorproof_istio envoyfilters/mirror-port.yaml`."
    )


def _reason(document: dict[str, Any], plan: MirrorPort) -> str:
    name = document["metadata"]["name"]
    reasons = {
        "mirror-strip": "At the edge: nobody outside can set the mark. Applies to the ingress gateway.",
        f"{plan.service}-mirror-port": (
            f"At the workload: strip the mark on every inbound port, then set it on {plan.mirror_port} "
            "alone. INSERT_FIRST puts the strip before authentication; INSERT_BEFORE the router puts the "
            "mark last. "
            f"{plan.primary_version} gets the strip as well, and never the mark."
        ),
        plan.mirror_host: (
            "The way to the mirror port. Only the mirror below leads here; "
            f"{plan.service} itself stays as it is."
        ),
    }
    by_kind = {
        "DestinationRule": "The two versions of the one Service.",
        "VirtualService": (
            f"All traffic to {plan.primary_version}; a copy goes to {plan.shadow_version}, whose answers are "
            "thrown away. x-mirror-id is one id that both get and no caller can choose, for retries too. The "
            "timeout also clears mirrored requests that are never answered. To sample, leave the percentage "
            "at 100 and let both sides hash the id: a percentage is drawn anew for each request."
        ),
    }
    return reasons.get(name) or by_kind[document["kind"]]


def _comment(text: str) -> str:
    lines = [
        fill(part, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
        for part in text.splitlines()
    ]
    return "\n".join(lines) + "\n"


def _dump(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False, width=_WIDTH)


class _Plain(yaml.SafeDumper):
    """No anchors: a value that occurs twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
