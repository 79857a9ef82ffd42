"""Having a Python program, and those that it starts, install the guards with no change of its code.

Theory of operation. Python imports a module called `sitecustomize` when it starts. The folder `site` here
holds one; put first into PYTHONPATH, it is found by each Python that inherits the environment: workers,
reloaders, spawned processes. It imports the `sitecustomize` that it hides, then has `mirrorproof.starting`
install the guards.

Knows the environment. Must not know any guard.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["FOLDER", "environment", "travels"]

FOLDER: Final = str(Path(__file__).parent / "site")


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """`env` with what has each Python that is started in it install the guards."""
    others = env.get("PYTHONPATH", "").split(os.pathsep)
    paths = [FOLDER, *(path for path in others if path and path != FOLDER)]
    return {**env, "PYTHONPATH": os.pathsep.join(paths)}


def travels() -> bool:
    """Whether a Python that this process starts installs the guards as well."""
    return FOLDER in os.environ.get("PYTHONPATH", "").split(os.pathsep)
