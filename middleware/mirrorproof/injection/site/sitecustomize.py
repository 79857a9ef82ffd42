"""Found by every Python that `mirrorproof run` starts: see mirrorproof.injection.

Knows the module that it hides. Must not know anything else.
"""

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_HERE = os.path.dirname(os.path.abspath(__file__))


def _import_hidden() -> None:
    paths = [path for path in sys.path if os.path.abspath(path or os.curdir) != _HERE]
    spec = PathFinder.find_spec("sitecustomize", paths)
    if spec is not None and spec.loader is not None:
        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


def _start() -> None:
    try:
        from mirrorproof.starting import start
    except ImportError as error:
        sys.stderr.write(f"mirrorproof: {sys.executable} cannot import mirrorproof: {error}\n")
        sys.stderr.flush()
        if os.environ.get("MIRRORPROOF_ROLE") != "primary":
            os._exit(2)  # unguarded, it might write
        return
    start()


try:
    _import_hidden()
finally:
    _start()
