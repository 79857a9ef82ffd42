"""mirrorproof in Locust: import it in a locustfile, and the test ends with what v2 did otherwise.

    import mirrorproof_locust

    locust --mirrorproof-recorder http://recorder:9600 --mirrorproof-fail-on-difference …

Knows Locust. Must not import the recorder's code: it is asked over HTTP.
"""

from __future__ import annotations

import sys

__all__ = ["register"]


def register() -> None:
    """Add the plugin's options and its report to Locust; a second time does nothing."""
    from mirrorproof_locust.plugin import register as add

    add()


# A locustfile is read by a Locust that runs. Anywhere else (a test, a documentation tool) Locust must not
# be imported on the side: it patches the standard library of the whole process.
if "locust" in sys.modules:
    register()
