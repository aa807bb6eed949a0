"""The console's server: where it listens, and that it ends when it is asked to."""

from __future__ import annotations

import logging
from typing import Final

import uvicorn

from inspector.console import app
from inspector.console.protection import is_loopback
from inspector.console.state import Console
from inspector.errors import StationError, UsageError

log = logging.getLogger("weldnet")

_MAX_CONNECTIONS: Final = 200  # a shop has some ten screens; more are refused with 503
_STOP_S: Final = 3  # for answers that are under way when the console stops


def serve(console: Console) -> None:
    """Serve the console until SIGTERM or Ctrl-C.

    Raises:
        UsageError: the address needs TLS or a proxy, or a setting is wrong.
        StationError: the address is in use.
    """
    require_safe_address(console)
    application = app.build(console)
    scheme = "https" if console.certificate else "http"
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=console.host,
            port=console.port,
            ssl_certfile=console.certificate,
            ssl_keyfile=console.key,
            log_config=None,  # the program's own log, as the settings say
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            lifespan="off",
            limit_concurrency=_MAX_CONNECTIONS,
            timeout_graceful_shutdown=_STOP_S,
        )
    )
    log.info("console: %s://%s:%d", scheme, console.host, console.port)
    try:
        server.run()
    except SystemExit:  # uvicorn's way to say that it cannot listen; its log line says why
        raise StationError(
            f"the console cannot listen on {console.host}:{console.port}; end the other program there, "
            "or use --port"
        ) from None


def require_safe_address(console: Console) -> None:
    """Refuse an address that other machines reach, without encryption.

    Raises:
        UsageError: it is one.
    """
    if (console.certificate is None) != (console.key is None):
        raise UsageError("console_certificate and console_key go together; set both, or neither")
    if is_loopback(console.host) or console.certificate or console.proxy:
        return
    raise UsageError(
        f"--host {console.host}: other machines would see passwords and images; set console_certificate and "
        "console_key, or console_proxy, or leave --host out"
    )
