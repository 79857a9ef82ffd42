"""mirrorproof's Istio side: the manifests that mirror live traffic to v2 and mark it there.

May know mirrorproof's headers. Must not know the recorder's code: it is asked over HTTP.
"""

from __future__ import annotations

from mirrorproof_istio.filters import mark_filter, strip_filter
from mirrorproof_istio.mirror_port import MirrorPort, documents
from mirrorproof_istio.render import render

__all__ = ["MirrorPort", "documents", "mark_filter", "render", "strip_filter"]
