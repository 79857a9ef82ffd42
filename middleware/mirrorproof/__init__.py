"""mirrorproof: mirrored requests do no harm, and every difference between v1 and v2 is seen."""

from __future__ import annotations

from mirrorproof import errors
from mirrorproof.asgi import MirrorMiddleware
from mirrorproof.context import current, is_mirrored
from mirrorproof.effects import side_effect
from mirrorproof.guards import Guard, install_guards, uninstall_guards
from mirrorproof.settings import Settings
from mirrorproof.wsgi import MirrorWSGIMiddleware

__all__ = [
    "Guard",
    "MirrorMiddleware",
    "MirrorWSGIMiddleware",
    "Settings",
    "current",
    "errors",
    "install_guards",
    "is_mirrored",
    "side_effect",
    "uninstall_guards",
]
