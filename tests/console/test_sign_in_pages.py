"""People sign in with a real browser; nobody else sees a page."""

from __future__ import annotations

import http.client
import threading

from console_clients import Client
from consoles import PASSWORD, RunningConsole, person_at
from waiting import HANG_S

from inspector.console import people


def answer(console: RunningConsole, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """Ask as a program does, and return the answer with its body read."""
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=60)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response
    finally:
        connection.close()


def test_a_person_signs_in_and_out(browser, console):
    """A person with the right password sees the navigation, and after signing out only the form."""
    with person_at(browser, console, path="/nothing-here") as page:
        assert page.locator("nav a").count() > 5
        assert page.locator(".who").inner_text() == "anna"
        page.click("text=Sign out")
        page.wait_for_selector("[name=password]")
        assert page.locator("nav a").count() == 0


def test_nobody_else_sees_a_page(console):
    """Without a session each page leads to the form, and each address for programs refuses."""
    for path in ("/", "/review", "/nothing-here"):
        response = answer(console, "GET", path)
        assert (response.status, response.headers["location"].split("?")[0]) == (303, "/sign-in")
    for path in ("/api/queue", "/image/1", "/heat/1", "/events"):
        assert answer(console, "GET", path).status == 401
    # A screen whose session has ended loads the whole page, so that the form is not put into a part of it.
    part = answer(console, "GET", "/now/state", **{"HX-Request": "true"})
    assert (part.status, part.headers["hx-refresh"]) == (401, "true")


def test_a_removed_person_sees_no_further_image(console, inspected):
    """The stream of the first page ends with the session: at once if the person is removed."""
    file = inspected.folder / "console-people.yaml"
    people.add(file, "eve", people.Role.LOOK, PASSWORD)
    eve = Client(console.port)
    assert eve.sign_in("eve", PASSWORD).status == 303
    connection = http.client.HTTPConnection("127.0.0.1", console.port, timeout=HANG_S)
    connection.request("GET", "/events", headers={"Cookie": eve.cookie})
    stream, ends = connection.getresponse(), threading.Event()
    assert stream.status == 200
    threading.Thread(target=lambda: (stream.read(), ends.set()), daemon=True).start()
    people.remove(file, "eve")
    assert ends.wait(HANG_S)
    connection.close()
    assert eve.ask("GET", "/events").status == 401


def test_another_sites_page_changes_nothing(console):
    """A POST without this console's Origin is refused, and each answer has the policy of its pages."""
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert answer(console, "POST", "/sign-out", **headers).status == 403
    policy = answer(console, "GET", "/sign-in").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
