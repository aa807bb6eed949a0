"""Hostile neighbours of the console: other pages, rubbish, huge and slow requests, odd paths and names."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import select
import socket
import time
from contextlib import closing
from urllib.parse import quote

import pytest
from console_clients import Client
from consoles import PASSWORD, RunningConsole, running_console
from ports import free_port
from stations import Station
from waiting import HANG_S

from inspector.console.attempts import PER_ADDRESS
from inspector.console.protection import HEADERS, MAX_BODY_BYTES

SIGNED_IN = ["/", "/charts", "/find", "/quarantine", "/enough"]


@pytest.fixture(scope="module")
def anna(console: RunningConsole) -> Client:
    """A reviewer who has signed in."""
    client = Client(console.port)
    assert client.sign_in("anna", PASSWORD).status == 303
    return client


def raw(console: RunningConsole, sent: bytes) -> bytes:
    """Send bytes as they are, and return what comes back until the console closes the connection."""
    got = b""
    with (
        closing(socket.create_connection(("127.0.0.1", console.port), HANG_S)) as channel,
        contextlib.suppress(ConnectionError),  # closed before all was read, as it has to be with too much
    ):
        channel.sendall(sent)
        while part := channel.recv(65_536):
            got += part
    return got


def test_the_session_s_cookie_is_for_this_site_only(anna: Client) -> None:
    """No script reads the cookie, no other site's page sends it, and it ends with the session's hours."""
    [cookie] = [text.lower() for text in anna.set_cookies if text.startswith("weldnet-console=")]
    attributes = [part.strip() for part in cookie.split(";")[1:]]
    assert {"httponly", "samesite=strict", "path=/", "max-age=36000"} <= set(attributes)
    assert not any(part.startswith("domain") for part in attributes)


def test_every_answer_has_the_policy(console: RunningConsole, anna: Client) -> None:
    """Pages, refusals, errors and files carry the content security policy, and nobody may frame them."""
    stranger = Client(console.port)
    answers = [anna.ask("GET", path) for path in [*SIGNED_IN, "/nothing", "/charts/nothing", "/trace/x"]]
    answers += [stranger.ask("GET", path) for path in ("/", "/sign-in", "/static/console.css", "/static/no")]
    answers += [stranger.ask("POST", "/api/verdicts"), anna.ask("DELETE", "/charts", origin=anna.origin)]
    answers += [anna.ask("POST", "/api/verdicts", b"x" * (MAX_BODY_BYTES + 1), anna.origin)]
    for answer in answers:
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS, answer
    assert "default-src 'self'" in HEADERS["content-security-policy"]
    assert "unsafe" not in HEADERS["content-security-policy"]


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1", "http://127.0.0.1:1"]
)
def test_a_page_of_another_site_changes_nothing(anna: Client, origin: str | None) -> None:
    """A POST with another Origin, or none, is refused, although the session's cookie is with it."""
    body = b'{"key": "5e0f4a26-6d5c-4c1e-9a55-9a3b1f8e2c11", "inspection": 1, "verdict": "PASS"}'
    for path in ("/api/verdicts", "/sign-out", "/sign-in"):
        assert anna.ask("POST", path, body, origin).status == 403
    assert anna.ask("GET", "/").status == 200


@pytest.mark.parametrize(
    ("length", "chunk"),
    [(f"Content-Length: {1 << 40}", bytes(1 << 20)), ("Transfer-Encoding: chunked", b"100000\r\n%b\r\n")],
    ids=["of known length", "in chunks"],
)
def test_a_huge_body_is_refused_before_it_is_read(
    console: RunningConsole, anna: Client, length: str, chunk: bytes
) -> None:
    """The console reads a little of a body without an end, closes the connection, and serves others."""
    head = f"POST /api/verdicts HTTP/1.1\r\nHost: 127.0.0.1:{console.port}\r\nOrigin: {anna.origin}\r\n"
    head += f"Cookie: {anna.cookie}\r\n{length}\r\n\r\n"
    if b"%b" in chunk:
        chunk %= bytes(1 << 20)
    with closing(socket.create_connection(("127.0.0.1", console.port), HANG_S)) as channel:
        channel.sendall(head.encode())
        with pytest.raises(ConnectionError):
            for _ in range(256):  # MiB, far more than the kernel keeps for the two
                channel.sendall(chunk)
    assert anna.ask("GET", "/charts").status == 200
    assert anna.ask("POST", "/api/verdicts", bytes(MAX_BODY_BYTES), anna.origin).status == 422


def test_slow_clients_hold_nobody(console: RunningConsole, anna: Client) -> None:
    """While connections send a byte now and then, others get their pages; the slow ones are closed."""
    slow = [socket.create_connection(("127.0.0.1", console.port), HANG_S) for _ in range(20)]
    try:
        for number, channel in enumerate(slow):
            channel.sendall(b"GET /charts HTTP/1.1\r\nX: " if number % 2 else b"G")
        assert anna.ask("GET", "/charts").status == 200
        until = time.monotonic() + HANG_S
        waiting = set(slow)
        while waiting and time.monotonic() < until:
            for channel in list(waiting):
                channel.settimeout(0.05)
                try:
                    channel.sendall(b"y")
                    if channel.recv(100) == b"":
                        waiting.discard(channel)
                except TimeoutError:
                    continue
                except OSError:
                    waiting.discard(channel)
        assert not waiting
    finally:
        for channel in slow:
            channel.close()


def test_one_address_cannot_have_every_connection(console: RunningConsole, anna: Client) -> None:
    """Connections of one address beyond a limit are closed at once, and other addresses get in."""
    place, mine = ("127.0.0.1", console.port), ("127.0.0.5", 0)
    held = [socket.create_connection(place, HANG_S, source_address=mine) for _ in range(100)]
    try:
        closed, _, _ = select.select(held, [], [], HANG_S)  # nothing was sent: only an end can be read
        assert min(held.index(channel) for channel in closed) > 32  # the oldest end by their time, much later
        assert anna.ask("GET", "/health").status == 200
    finally:
        for channel in held:
            channel.close()


@pytest.mark.parametrize(
    "path",
    [
        "/image/../../etc/passwd",
        "/image/..%2f..%2fetc%2fpasswd",
        "/image/%2e%2e/%2e%2e/etc/passwd",
        "/image/1/../../config.yaml",
        "/image/-1",
        "/image/0x1",
        f"/image/{10**30}",
        "/image/%00",
        "/heat/..%2f1",
        "/static/../people.py",
        "/static/..%2fpeople.py",
        "/static/%2e%2e%2fpeople.py",
        "/static/..%5cpeople.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "//evil.example/",
        "/trace/..%2f..%2fquality.db",
        "/trace/%27%20OR%201=1",
        "/charts/..%2f..%2froles.sql",
    ],
)
def test_no_path_leads_to_another_file(anna: Client, path: str) -> None:
    """Dots, slashes and numbers in an address lead to no file but the console's own, and to no defect."""
    answer = anna.ask("GET", path)
    assert answer.status in (303, 400, 404, 405, 410, 422), (answer.status, answer.body[:200])
    assert answer.headers.get("location", "/").startswith("/") and "evil" not in str(answer.headers)
    for secret in (b"root:", b"session_key", b"PasswordHasher", b"SQLite format", b"database_url"):
        assert secret not in answer.body


def test_signing_in_leads_to_no_other_site(console: RunningConsole) -> None:
    """Whatever page is to follow the sign-in, it is one of this console."""
    for target in (
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/%0d%0aSet-Cookie:x",
        "\\\\e",
    ):
        client = Client(console.port)
        form = f"name=anna&password={PASSWORD}".replace(" ", "+").encode()
        kind = "application/x-www-form-urlencoded"
        answer = client.ask("POST", f"/sign-in?next={target}", form, client.origin, Content_Type=kind)
        assert answer.status == 303
        assert answer.headers["location"].startswith("/")
        assert not answer.headers["location"].startswith(("//", "/\\"))
        assert "evil" not in (answer.headers["set-cookie"] or "")


def test_a_header_names_nobody_without_a_proxy(console: RunningConsole) -> None:
    """A header that a proxy might send gives no session to a client that comes directly."""
    client = Client(console.port)
    for header in ("X_Forwarded_User", "Remote_User", "X_Remote_User"):
        assert client.ask("GET", "/api/queue", **{header: "anna"}).status == 401


def test_the_header_counts_from_the_proxy_only(inspected: Station) -> None:
    """The named proxy's header names a person; two names, unknown ones and other clients name nobody."""
    port = free_port()
    named = {"WELD_CONSOLE_PROXY_HEADER": "X-User", "WELD_CONSOLE_PROXY": "127.0.0.1"}
    with running_console(inspected, port=port, **named):
        client = Client(port)
        assert client.ask("GET", "/charts", X_User="anna").status == 200
        assert client.ask("GET", "/charts").status == 403
        assert client.ask("GET", "/charts", X_User="nobody").status == 403
        assert client.ask("POST", "/api/verdicts", b"{}", client.origin, X_User="dora").status == 403
        assert Client(port, address="127.0.0.2").ask("GET", "/charts", X_User="anna").status == 403
        double = (
            b"GET /charts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-User: dora\r\nX-User: clara\r\n\r\n"
        )
        with closing(socket.create_connection(("127.0.0.1", port), HANG_S)) as channel:
            channel.sendall(double)
            assert channel.makefile("rb").read().startswith(b"HTTP/1.1 403 ")
        client.sign_in("anna", PASSWORD)  # a browser reaches the proxy over an encrypted connection
        assert any("; secure" in text.lower() for text in client.set_cookies)


def test_passwords_cannot_be_tried_out(console: RunningConsole) -> None:
    """After some wrong passwords, also at once, even the right one has to wait; others and pages do not."""
    most, _ = PER_ADDRESS
    tried = Client(console.port, address="127.0.0.3")
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda n: tried.sign_in(f"user {n}", f"wrong {n}"), range(most + 20))
        statuses = [answer.status for answer in answers]
    assert (statuses.count(401), statuses.count(429)) == (most, 20)
    assert tried.sign_in("anna", PASSWORD).status == 429
    assert tried.ask("GET", "/sign-in").status == 200
    assert Client(console.port, address="127.0.0.4").sign_in("anna", PASSWORD).status == 303


def test_rubbish_ends_no_console(console: RunningConsole, anna: Client) -> None:
    """Bytes that are no HTTP, and verdicts that are none, get a refusal; the console goes on."""
    for sent in (b"\x16\x03\x01\x00\xa5\x01\x00", b"GET\r\n\r\n", b"\xff" * 1000):
        assert raw(console, sent + b"\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert raw(console, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000).startswith((b"HTTP/1.1 400 ", b""))
    for body in (b"", b"{}", b"[" * 30_000, b'{"key": 1}', b"\xff\xfe", b"null", b'{"verdict": "PASS"}'):
        answer = anna.ask("POST", "/api/verdicts", body, anna.origin)
        assert answer.status == 422
        assert "\n" not in json.loads(answer.body)["error"]
    assert anna.ask("GET", "/charts").status == 200


def test_hostile_words_are_text(anna: Client) -> None:
    """What a person writes in a note, a class or the search comes back as text, in pages and in answers."""
    script = "<script>alert(1)</script>\"'&"
    said = {"key": "5e0f4a26-6d5c-4c1e-9a55-9a3b1f8e2c12", "inspection": 2, "verdict": "FAIL", "note": script}
    answer = anna.say(said)
    assert (answer.status, json.loads(answer.body)) == (200, {"added": 1})
    refused = anna.say(said | {"key": "5e0f4a26-6d5c-4c1e-9a55-9a3b1f8e2c13", "label": script})
    assert refused.status == 422
    assert refused.headers["content-type"] == "application/json"
    pages = [anna.ask("GET", "/trace/2"), anna.ask("GET", f"/find?q={quote(script)}")]
    pages += [anna.ask("GET", f"/charts/trend?part={quote(script)}&by={quote(script)}&days={quote(script)}")]
    pages += [anna.ask("GET", f"/grid?part={quote(script)}&class={quote(script)}")]
    pages += [anna.ask("GET", f"/seam?part={quote(script)}&station={quote(script)}")]
    pages += [anna.ask("GET", f"/charts/{quote(script, safe='')}"), anna.ask("GET", f"/{quote(script)}")]
    for page in pages:
        assert page.status < 500, page
        assert b"<script>alert" not in page.body, page
    assert b"&lt;script&gt;alert" in pages[0].body + pages[1].body
