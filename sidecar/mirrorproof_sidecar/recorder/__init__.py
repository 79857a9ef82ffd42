"""The recorder: takes exchanges in over HTTP, settles them, and answers what came of it.

`Recorder` is the service without HTTP, `make_app` its aiohttp application, `serve` the running process.
"""

from __future__ import annotations

from mirrorproof_sidecar.recorder.app import make_app
from mirrorproof_sidecar.recorder.serve import serve
from mirrorproof_sidecar.recorder.service import Recorder

__all__ = ["Recorder", "make_app", "serve"]
