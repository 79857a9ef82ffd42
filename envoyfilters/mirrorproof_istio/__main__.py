"""`python -m mirrorproof_istio [FILE]`: write the rendered manifests to FILE, or to standard output.

Knows files. Must not know what is in the manifests.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mirrorproof_istio.render import render


def main(arguments: list[str]) -> int:
    """Write the manifests; returns the exit status."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        sys.stderr.write("usage: python -m mirrorproof_istio [FILE]\n")
        return 2
    if arguments:
        Path(arguments[0]).write_text(render(), encoding="utf-8")
    else:
        sys.stdout.write(render())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
