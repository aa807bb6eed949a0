"""A loopback port with ``/metrics`` for Prometheus and ``/healthz`` for a health check."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import MetricsHandler

from inspector.errors import UsageError

HOST = "127.0.0.1"  # its numbers are not for other machines; a proxy with a password may pass them on


@contextmanager
def serving(port: int, registry: CollectorRegistry, health: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Serve both addresses on the port within the block.

    Args:
        port: on the loopback interface.
        registry: for ``/metrics``.
        health: for ``/healthz``: returns a JSON object whose ``healthy`` decides between status 200 and 503.

    Raises:
        UsageError: the port is not available.
    """

    class Page(MetricsHandler):
        timeout = 10  # s; then a silent client is dropped

        def do_GET(self) -> None:  # noqa: N802 - http.server's own name
            """Answer one of the two addresses."""
            path = self.path.partition("?")[0]
            if path == "/metrics":
                super().do_GET()
            elif path == "/healthz":
                self._send_json(health())
            else:
                self.send_error(404, "there is /metrics, and /healthz")

        def _send_json(self, about: dict[str, Any]) -> None:
            content = json.dumps(about).encode()
            self.send_response(200 if about["healthy"] else 503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    Page.registry = registry
    try:
        server = ThreadingHTTPServer((HOST, port), Page)
    except OSError as error:
        raise UsageError(f"metrics_port {port}: {error.strerror}; choose another") from None
    thread = threading.Thread(target=server.serve_forever, name="metrics")
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
