"""A program that asks the console over HTTP as a browser does: with a session, and with the page's origin."""

from __future__ import annotations

import http.client
import json
from http.cookies import SimpleCookie
from typing import Any, NamedTuple
from urllib.parse import urlencode

from waiting import HANG_S


class Answer(NamedTuple):
    """The console's answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode(errors="replace")


class Client:
    """A client of a console on this machine, each of whose requests has a connection of its own.

    Args:
        port: the console's.
        timeout_s: for each request.
        address: the client's own; each of 127.0.0.1 to 127.255.255.254 is this machine's.
    """

    def __init__(self, port: int, timeout_s: float = HANG_S, address: str = "127.0.0.1") -> None:
        self.port = port
        self._address = address
        self.cookie = ""
        self.set_cookies: list[str] = []
        self._timeout_s = timeout_s

    @property
    def origin(self) -> str:
        """The origin of the console's own pages."""
        return f"http://127.0.0.1:{self.port}"

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        origin: str | None = None,
        **headers: str,
    ) -> Answer:
        """Send one request and read the answer.

        Args:
            method: GET, POST and so on.
            path: of the address, sent as it is.
            body: what is sent.
            origin: the origin of the page that asks.
            headers: more headers, with ``_`` for ``-``.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=self._timeout_s, source_address=(self._address, 0)
        )
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Cookie": self.cookie} if self.cookie else {}
        sent |= {"Origin": origin} if origin is not None else {}
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def sign_in(self, name: str, password: str) -> Answer:
        """Sign in; the session stays for the requests that follow."""
        form = urlencode({"name": name, "password": password}).encode()
        answer = self.ask(
            "POST", "/sign-in", form, self.origin, Content_Type="application/x-www-form-urlencoded"
        )
        self.set_cookies = answer.headers.get_all("set-cookie") or []
        cookies = SimpleCookie("; ".join(text.split(";")[0] for text in self.set_cookies))
        self.cookie = "; ".join(f"{key}={morsel.value}" for key, morsel in cookies.items())
        return answer

    def say(self, verdict: dict[str, Any]) -> Answer:
        """Send a verdict as the review page does."""
        body = json.dumps(verdict).encode()
        return self.ask("POST", "/api/verdicts", body, self.origin, Content_Type="application/json")
