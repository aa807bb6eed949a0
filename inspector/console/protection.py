"""Protection against bad neighbours: headers, the Origin of each POST, and limits on bodies and requests."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspector.console.state import Console

MAX_BODY_BYTES: Final = 1 << 16  # a verdict has some hundred bytes, a grid of 48 some thousand
_MAX_BODY_S: Final = 10.0  # of a body that comes slowly
_PER_SECOND: Final = 200.0  # requests of one client: a person who types ten keys in a second makes 50
_BURST: Final = 400.0
_MAX_CLIENTS: Final = 4096  # whose rates are kept; the one that was silent for longest is forgotten
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
HEADERS: Final = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def middleware(console: Console) -> list[Middleware]:
    """What comes before every page, the outermost first."""
    return [
        Middleware(SafeHeaders),
        Middleware(OnlyProxy, proxy=None if is_loopback(console.host) else console.proxy),
        Middleware(RequestLimit),
        Middleware(SameOrigin),
        Middleware(BodyLimit),
    ]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; any name but ``localhost`` may be another machine's."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


class SafeHeaders:
    """Put the security headers on every answer; pages are never kept by a browser unless they say so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                # A page is never kept; of a static file a browser asks whether it has changed.
                is_static = scope["path"].startswith("/static/")
                headers.setdefault("cache-control", "no-cache" if is_static else "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers)


class OnlyProxy:
    """Refuse every client but the named proxy; None: refuse nobody."""

    def __init__(self, app: ASGIApp, proxy: str | None) -> None:
        self.app = app
        self._proxy = proxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and self._proxy not in (None, _client(scope)):
            await PlainTextResponse("use the reverse proxy\n", 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


class RequestLimit:
    """Refuse a client that asks more often than a person can."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not self._may(_client(scope)):
            answer = PlainTextResponse("too many requests\n", 429, {"retry-after": "1"})
            await answer(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _may(self, client: str) -> bool:
        now = time.monotonic()
        left, since = self._left.pop(client, (_BURST, now))
        left = min(_BURST, left + (now - since) * _PER_SECOND) - 1
        self._left[client] = max(left, -1.0), now
        if len(self._left) > _MAX_CLIENTS:
            self._left.popitem(last=False)
        return left >= 0


class SameOrigin:
    """Refuse a request that changes something unless a page of this console sent it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and scope["method"] not in _SAFE:
            headers = Headers(scope=scope)
            # The host alone: behind a proxy the scheme differs.
            if urlsplit(headers.get("origin", "")).netloc != headers.get("host", "") or "host" not in headers:
                await PlainTextResponse("the request is from another page\n", 403)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class BodyLimit:
    """Read the whole body before the page sees it; refuse a long one and one that comes too slowly."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in _SAFE:
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(_MAX_BODY_S):
                body = await _body(receive)
        except TimeoutError:
            await PlainTextResponse("the request came too slowly\n", 408)(scope, receive, send)
            return
        if body is None:
            refusal = PlainTextResponse(
                f"a request has at most {MAX_BODY_BYTES} bytes\n", 413, {"connection": "close"}
            )
            await refusal(scope, receive, send)
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_whole() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, receive_whole, send)


async def _body(receive: Receive) -> bytes | None:
    """Read a body; None if it is too long."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _client(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else ""
