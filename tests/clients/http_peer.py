"""An HTTP server that notes each request: a peer for every client that speaks HTTP.

Knows HTTP. Must not know who calls.
"""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

__all__ = ["PEERS", "HttpPeer"]


class HttpPeer:
    """The outside world: a real HTTP server on loopback that notes each request it gets.

    Answers 201 and `{"real": true}` to any method.
    """

    about = "an HTTP server on loopback that notes each request"

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        outside = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                if self.headers.get("transfer-encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline() or b"0", 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outside.requests.append((self.command, self.path, headers, body))
                answer = json.dumps({"real": True}).encode()
                self.send_response(201)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}"

    def look(self) -> int:
        """How many requests came that may have changed something (RFC 9110, 9.2.1)."""
        return sum(method not in ("GET", "HEAD", "OPTIONS") for method, *_ in self.requests)

    @property
    def methods(self) -> list[str]:
        return [method for method, *_ in self.requests]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


PEERS = {"http": HttpPeer}
