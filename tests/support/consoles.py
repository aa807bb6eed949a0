"""The review console for the tests: a real process beside a real station, and people in a real Chromium."""

from __future__ import annotations

import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import console_clients
import pytest
from artifact_samples import picture
from console_clients import Answer
from PIL import Image
from ports import free_port
from programs import program
from sqlalchemy.engine import URL, make_url
from stations import Station
from waiting import HANG_S, wait_for

from inspector.console import people
from inspector.console.people import Role
from inspector.ledger.store import migrate

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PASSWORD = "correct horse"  # noqa: S105 - the tests' own
PEOPLE = {"anna": Role.REVIEW, "ben": Role.REVIEW, "clara": Role.RELEASE, "dora": Role.LOOK}
_FLAGS = ["--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--disable-breakpad"]


def inspected_station(
    folder: Path, artifact: Path, images: int = 24, url: URL | None = None, **settings: Any
) -> Station:
    """A station whose daemon has judged images of two parts with two seams each, among them each verdict."""
    url = url or make_url(f"sqlite:///{folder / 'quality.db'}")
    migrate(url)
    named = {"name_pattern": r"(?P<part>P\d+)_S(?P<seam>\d+)_"}
    station = Station(folder, artifact, url, **(named | settings))
    deliver(station, range(images))
    return station


def deliver(station: Station, seeds: range) -> None:
    """Let the daemon judge one image for each seed; the same seeds give the same images."""
    for seed in seeds:
        content = io.BytesIO()
        Image.fromarray(picture(seed)).save(content, "PNG")
        station.deliver(f"P{seed % 2 + 1}_S{seed // 2 % 2 + 1}_{seed:04}.png", content.getvalue())
    assert station.once()["inspected"] == len(seeds)


class RunningConsole:
    """A console process on a port of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log

    @property
    def address(self) -> str:
        """The address of the first page, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        """Whether it listens."""
        assert self.process.poll() is None, self.log.read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self.process.kill()
        self.process.wait(HANG_S)


@contextmanager
def running_console(
    station: Station, *options: str, port: int | None = None, **environment: str
) -> Iterator[RunningConsole]:
    """Start the console of a station, with :data:`PEOPLE` who have :data:`PASSWORD`; stop it at the end."""
    users = station.folder / "console-people.yaml"
    if not users.exists():
        for name, role in PEOPLE.items():
            people.add(users, name, role, PASSWORD)
    port = port or free_port()
    command = [sys.executable, "-c", "from inspector.commands.cli import main; main()", "console"]
    command += ["--config", str(station.config), "--port", str(port), *options]
    log = station.folder / "console.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, env=os.environ | environment
        )
    console = RunningConsole(process, port, log)
    try:
        wait_for(console.answers)
        yield console
    finally:
        process.terminate()
        process.wait(HANG_S)


class Client(console_clients.Client):
    """A program that has signed in as one of :data:`PEOPLE`, without a browser."""

    def __init__(self, console: RunningConsole, name: str | None = "anna") -> None:
        super().__init__(console.port)
        if name is not None:
            answer = self.sign_in(name, PASSWORD)
            assert answer.status == 303, answer.text

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        origin: str | None = None,
        **headers: str,
    ) -> Answer:
        """Ask once, as a page of the console does: with the session and the Origin, unless one is given."""
        if method != "GET" and origin is None:
            origin = self.origin
        return super().ask(method, path, body, origin, **headers)

    def json(self, path: str) -> Any:
        """Get a JSON object, which must be there."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.text
        return json.loads(answer.body)

    def decide(self, inspection: int, verdict: str, key: str | None = None, **more: Any) -> Answer:
        """Send a verdict with a key of its own."""
        said = {"key": key or str(uuid.uuid4()), "inspection": inspection, "verdict": verdict}
        return self.say(said | more)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright; the test skips without one of them."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    path = program("chromium", "chromium-browser", "google-chrome")
    flags = [*_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else _FLAGS
    # A home of its own: Chromium writes beside its profile, too.
    with tempfile.TemporaryDirectory(prefix="weldnet-chromium-") as home, playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=path, args=flags, env=os.environ | {"HOME": home})
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def person_at(
    browser: Browser, console: RunningConsole, name: str = "anna", path: str = "/", **context: Any
) -> Iterator[Page]:
    """A person who has signed in with a browser of their own, at a page of the console.

    An error or warning in the browser's console, such as a script that the policy refuses, fails the test,
    except for answers with an error status, which a test may want.
    """
    opened = browser.new_context(base_url=console.address, **context)
    opened.set_default_timeout(HANG_S * 1000)
    said: list[str] = []
    page = opened.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type in _BAD else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        page.goto(f"/sign-in?next={quote(path)}")
        page.fill("[name=name]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("main form button")
        page.wait_for_url(f"{console.address}{path}")
        yield page
    finally:
        opened.close()
    complaints = [text for text in said if not text.startswith("Failed to load resource")]
    assert not complaints, complaints


_BAD = ("error", "warning")
