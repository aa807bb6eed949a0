"""Signing in and out, and the gate that lets nobody else pass."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from inspector.console.attempts import Attempts
from inspector.console.people import People, Person, Role
from inspector.console.state import Console, page, site_of, words_of

_OPEN: Final = ("/sign-in", "/health", "/static/", "/language/")  # pages for those who are not signed in
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_MAX_LENGTH: Final = 1000  # characters of a name or password


def middleware(console: Console, people: People) -> list[Middleware]:
    """The session and the gate."""
    return [
        Middleware(
            SessionMiddleware,
            secret_key=people.session_key,
            session_cookie="weldnet-console",
            max_age=round(console.session_hours * 3600),
            same_site="strict",
            https_only=console.is_encrypted,
        ),
        Middleware(Gate, console=console, people=people),
    ]


class Gate:
    """Find the person who asks; let nobody else in, and only those who may review change anything."""

    def __init__(self, app: ASGIApp, console: Console, people: People) -> None:
        self.app = app
        self._console = console
        self._people = people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            scope["person"] = self._person(HTTPConnection(scope))
            if (refusal := self._refusal(scope)) is not None:
                await refusal(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _person(self, connection: HTTPConnection) -> Person | None:
        if self._console.proxy_header is not None:
            client = connection.client.host if connection.client else ""
            names = Headers(scope=connection.scope).getlist(self._console.proxy_header)
            if client != self._console.proxy or len(names) != 1:  # two: one is not the proxy's
                return None
            return self._people.person(names[0].encode("latin-1").decode(errors="replace"))
        session = connection.session
        person = self._people.person(str(session.get("name")))
        is_over = time.time() - float(session.get("since", 0)) > self._console.session_hours * 3600
        return None if person is None or is_over or session.get("stamp") != person.stamp else person

    def _refusal(self, scope: Scope) -> Response | None:
        path, person = scope["path"], scope["person"]
        if any(path == open_ or (open_.endswith("/") and path.startswith(open_)) for open_ in _OPEN):
            return None
        is_api = path.startswith(("/api/", "/image/", "/heat/", "/events"))
        if person is None and self._console.proxy_header is not None:
            text = "the proxy names nobody in the list of people; 'weld-inspect console user add' adds one\n"
            return PlainTextResponse(text, 403)
        if person is None:
            is_part = "hx-request" in Headers(scope=scope)  # of a page: the whole page is to ask again
            if is_part or is_api or scope["method"] not in _SAFE:
                headers = {"hx-refresh": "true"} if is_part else None
                return JSONResponse({"error": "sign in again"}, 401, headers)
            query = scope["query_string"].decode("latin-1")
            target = path + (f"?{query}" if query else "")
            return RedirectResponse(f"/sign-in?next={quote(target, safe='/')}", 303)
        if scope["method"] not in _SAFE and path != "/sign-out" and not person.role.includes(Role.REVIEW):
            return PlainTextResponse("this needs the role review\n", 403)
        return None


def local_path(text: str | None) -> str:
    """A path of this console to go on to; ``/`` for anything else, such as another site's address."""
    safe = text and text.startswith("/") and not text.startswith(("//", "/\\")) and text.isprintable()
    return text if text and safe else "/"


def _show(request: Request) -> Response:
    return _form(request)


def _form(request: Request, error: str | None = None, status: int = 200) -> Response:
    site = site_of(request)
    return page(
        request,
        "sign_in.html",
        status,
        error=error,
        next=local_path(request.query_params.get("next")),
        nobody=site.people.is_empty() and site.console.proxy_header is None,
    )


async def _enter(request: Request) -> Response:
    site, words = site_of(request), words_of(request)
    async with request.form(max_files=0, max_fields=4) as form:
        name, password = (str(form.get(field, ""))[:_MAX_LENGTH] for field in ("name", "password"))
    client = request.client.host if request.client else ""
    address = None if client == site.console.proxy else client  # everybody has the proxy's
    attempts: Attempts = site.parts.setdefault("attempts", Attempts())
    if not attempts.may_begin(name, address):
        return _form(request, words("sign_in.wait"), 429)
    person = await run_in_threadpool(site.people.check, name, password)
    if person is None:
        return _form(request, words("sign_in.wrong"), 401)
    attempts.succeeded(name, address)
    request.session.clear()
    request.session.update(name=person.name, stamp=person.stamp, since=time.time())
    return RedirectResponse(local_path(request.query_params.get("next")), 303)


def _leave(request: Request) -> Response:
    request.session.clear()
    return RedirectResponse("/sign-in", 303)


ROUTES: Final = [
    Route("/sign-in", _show),
    Route("/sign-in", _enter, methods=["POST"]),
    Route("/sign-out", _leave, methods=["POST"]),
]
