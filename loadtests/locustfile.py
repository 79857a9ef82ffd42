"""An example that runs: the shop's customers against any host, and mirrorproof's report at the end.

    locust -f loadtests/locustfile.py --headless -u 4 -t 30s --host http://127.0.0.1:8080 \
        --mirrorproof-recorder http://127.0.0.1:9600

`mirrorproof demo --serve` prints a host and a recorder to try it on.
"""

from __future__ import annotations

import mirrorproof_locust  # noqa: F401 - the import adds the options and the report
from mirrorproof_demo.load import ShopUser

__all__ = ["ShopUser"]
