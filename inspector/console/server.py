"""The console's server: where it listens, how long it waits for slow clients, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from inspector.console import app
from inspector.console.protection import is_loopback
from inspector.console.state import Console
from inspector.errors import StationError, UsageError

log = logging.getLogger("weldnet")

_MAX_CONNECTIONS: Final = 200  # a shop has some ten screens; more are refused with 503
_MAX_CONNECTIONS_PER_ADDRESS: Final = 64  # a browser opens six; several screens may share an address
_MAX_REQUEST_S: Final = 10.0  # for the first line and the headers of a request
_STOP_S: Final = 3  # for answers that are under way when the console stops


def serve(console: Console) -> None:
    """Serve the console until SIGTERM or Ctrl-C.

    Raises:
        UsageError: the address needs TLS or a proxy, or a setting is wrong.
        StationError: the address is in use.
    """
    address = _resolved(console)
    require_safe_address(console, address)
    _require_certificate(console)
    application = app.build(console)
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            host=console.host,
            port=console.port,
            http=_protocol(exempt=console.proxy),
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
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # ours says where it listens
    with _listening(console, address) as listener:
        scheme = "https" if console.certificate else "http"
        shown = f"[{console.host}]" if ":" in console.host else console.host
        log.info("console: %s://%s:%d", scheme, shown, console.port)
        server.run(sockets=[listener])


def require_safe_address(console: Console, address: str) -> None:
    """Refuse an address that other machines reach, without encryption.

    Raises:
        UsageError: it is one.
    """
    if is_loopback(address) or console.certificate or console.proxy:
        return
    raise UsageError(
        f"--host {console.host}: other machines would see passwords and images; set console_certificate and "
        "console_key, or console_proxy, or leave --host out"
    )


def _resolved(console: Console) -> str:
    """Return the IP address to listen on.

    Raises:
        UsageError: there is none of this name.
    """
    try:
        found = socket.getaddrinfo(console.host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise UsageError(
            f"--host {console.host}: this machine knows no such address; give an IP address of its own"
        ) from None
    return str(found[0][4][0])


def _require_certificate(console: Console) -> None:
    """Refuse a certificate or key that cannot be used, before the server says so in its own way.

    Raises:
        UsageError: it cannot.
    """
    if console.certificate is None or console.key is None:
        return
    for setting, file in (("console_certificate", console.certificate), ("console_key", console.key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise UsageError(f"{setting} {file}: cannot be read: {error.strerror}") from None
    try:
        # Without a function for the password OpenSSL would ask on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(console.certificate, console.key, str)
    except (ssl.SSLError, OSError, ValueError):
        raise UsageError(
            f"console_certificate {console.certificate} and console_key {console.key} do not fit together: "
            "they must be PEM files of a certificate and of its own key, without a passphrase"
        ) from None


def _listening(console: Console, address: str) -> socket.socket:
    """Listen, before anything else begins.

    Raises:
        StationError: another program listens there.
        UsageError: the address is not this machine's, or the port is not for this account.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    where = f"{console.host}:{console.port}"
    try:
        return socket.create_server((address, console.port), family=family, backlog=128)
    except PermissionError:
        raise UsageError(f"the console may not listen on {where}; use a --port from 1024 on") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise StationError(f"another program listens on {where}; end it, or use another --port") from None
        raise UsageError(f"the console cannot listen on {where}: {error.strerror}; correct --host") from None


def _protocol(exempt: str | None) -> type[asyncio.Protocol]:
    """Uvicorn's HTTP, with two limits that it lacks: on slow requests, and on one address's connections.

    Args:
        exempt: the proxy, which may have more connections.
    """

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            address = self.client and self.client[0]
            clients = [getattr(other, "client", None) for other in self.connections]
            same = sum(client is not None and client[0] == address for client in clients)
            if address != exempt and same > _MAX_CONNECTIONS_PER_ADDRESS:
                transport.abort()
            else:
                self._expect_request()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is None or self.cycle.response_complete:
                self._expect_request()
            else:
                self._end_deadline()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end_deadline()
            super().connection_lost(exc)

        def _expect_request(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(_MAX_REQUEST_S, self._close)

        def _end_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _close(self) -> None:
            self._deadline = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Impatient
