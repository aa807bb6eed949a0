"""The queue on a terminal: a key for each image, each verdict written at once, and a picture beside it."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shelves import say
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner
from verdict_samples import fill, rows
from waiting import HANG_S, wait_for

from inspector.commands.cli import app
from inspector.errors import UsageError
from inspector.ledger.store import Store
from inspector.records import Review, Verdict
from inspector.review import window
from inspector.review.one_by_one import HELP, Answer, go_through

PASS, FAIL, REVIEW = Verdict.PASS, Verdict.FAIL, Verdict.REVIEW
SAID = "SELECT inspection_id, verdict, label, reviewer FROM review ORDER BY id"


class Person:
    """A person who presses keys, and what the round did."""

    def __init__(self, keys: str, decided_meanwhile: int = 0) -> None:
        self.keys = iter(keys)
        self.decided_meanwhile = decided_meanwhile
        self.written: list[tuple[int, str | None, str | None]] = []
        self.seen: list[int] = []
        self.lines: list[str] = []

    def _key(self) -> str:
        for key in self.keys:
            return key
        raise EOFError

    def _look(self, number: int, again: bool) -> list[str] | None:
        if number == self.decided_meanwhile:
            return None
        self.seen.append(number)
        return ["pore", "crack"]

    def go(self, *numbers: int) -> dict[int, Answer]:
        """Go through these images."""
        return go_through(
            numbers,
            look=self._look,
            read_key=self._key,
            say=self.lines.append,
            record=lambda number, answer: self.written.append((number, answer.verdict, answer.label)),
        )


def test_each_key_is_its_answer() -> None:
    """One key decides an image; a digit fails it with the class that it stands for."""
    person = Person("pF12u ")
    answers = person.go(1, 2, 3, 4, 5, 6, 7)
    assert person.written == [
        (1, PASS, None),
        (2, FAIL, None),
        (3, FAIL, "pore"),
        (4, FAIL, "crack"),
        (5, REVIEW, None),
    ]
    assert answers[6] == Answer(None)
    assert 7 not in answers
    assert person.lines == ["PASS", "FAIL", "FAIL pore", "FAIL crack", "REVIEW", "later"]


def test_back_shows_the_image_before_and_a_new_answer_counts() -> None:
    """A person who errs goes back; the second verdict is one more row, and the last one is counted."""
    person = Person("bpbfb p")
    answers = person.go(1, 2)
    assert person.seen == [1, 2, 1, 2, 1, 2]
    assert person.written == [(1, PASS, None), (1, FAIL, None), (2, PASS, None)]
    assert answers == {1: Answer(FAIL), 2: Answer(PASS)}  # 'later' after a verdict takes nothing back
    assert person.lines[0] == "this is the first image"


@pytest.mark.parametrize("key", ["3", "x", "", "pp", "\x1b[A", "12"])
def test_another_key_decides_nothing(key: str) -> None:
    """A digit without a class, an arrow and two keys at once are answered with the list of keys."""
    person = Person("")
    person.keys = iter([key, "p"])
    person.go(1)
    assert person.lines == [HELP, "PASS"]
    assert person.written == [(1, PASS, None)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, EOFError])
def test_an_interrupt_keeps_what_was_said(error: type[BaseException]) -> None:
    """Ctrl-C and a closed terminal end the round after the verdicts before."""
    person = Person("p")
    keys = iter(["p"])

    def read() -> str:
        for key in keys:
            return key
        raise error

    person._key = read  # type: ignore[method-assign]
    assert person.go(1, 2) == {1: Answer(PASS)}


def test_an_image_that_somebody_else_has_decided_is_passed_over() -> None:
    """Two people may go through the queue: an image is not asked about twice, and 'back' jumps over it."""
    person = Person("pbfp", decided_meanwhile=2)
    assert list(person.go(1, 2, 3)) == [1, 3]
    assert person.seen == [1, 3, 1, 3]


# --- the window ------------------------------------------------------------------------------------------


def test_one_window_shows_one_picture_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser is opened once; the page reloads itself, is only the person's, and goes at the end."""
    opened, program = tmp_path / "opened", tmp_path / "xdg-open"
    program.write_text(f'#!/bin/sh\necho "$1" >> "{opened}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    with window.Window() as shown:
        assert shown.page.is_relative_to(tmp_path)
        assert shown.page.parent.stat().st_mode & 0o777 == 0o700
        assert shown.show("inspection 1", b"\x89PNG") is None
        first = shown.page.read_text()
        assert shown.show("inspection 2", "is <missing>") is None
        second = shown.page.read_text()
        page = shown.page
        wait_for(lambda: opened.exists() and opened.read_text())
    assert 'http-equiv="refresh"' in first
    assert "data:image/png;base64,iVBORw==" in first
    assert "is &lt;missing&gt;" in second
    assert opened.read_text().splitlines() == [str(page)]
    assert not page.parent.exists()


def test_without_a_program_that_opens_it_the_page_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A desktop without xdg-utils gets one line, once."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    with window.Window() as shown:
        assert str(shown.show("inspection 1", b"")).endswith(f"open {shown.page} in a browser")
        assert shown.show("inspection 2", b"") is None


# --- the command -----------------------------------------------------------------------------------------


# A shell starts programs in the background with SIGINT ignored, and so these tests: Ctrl-C would do nothing.
_PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from inspector.commands.cli import main
main()
"""


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, station: Station, *words: str, **display: str) -> None:
        self._ours, theirs = pty.openpty()
        own = ["setsid", "--ctty", "--wait"]  # the terminal that Ctrl-C comes from
        command = [*own, sys.executable, "-c", _PROGRAM, "review"]
        environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
        self._process = subprocess.Popen(
            [*command, *words, "--config", str(station.config)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment | display,
        )
        os.close(theirs)
        self.text = ""

    def until(self, pattern: str) -> str:
        """Read until the text has the pattern, after what an earlier call found; return up to there."""
        deadline = time.monotonic() + HANG_S
        while not (found := re.search(pattern, self.text)):
            assert select.select([self._ours], [], [], deadline - time.monotonic())[0], self.text
            with contextlib.suppress(OSError):  # the command has ended
                self.text += os.read(self._ours, 4096).decode().replace("\r", "")
                continue
            raise AssertionError(self.text)
        before, self.text = self.text[: found.end()], self.text[found.end() :]
        return before

    def press(self, keys: str) -> None:
        """Press keys, after the question: earlier ones are not about this image, and are forgotten."""
        os.write(self._ours, keys.encode())

    def end(self) -> int:
        """Return the exit status."""
        status = self._process.wait(HANG_S)
        os.close(self._ours)
        return status

    def kill(self) -> None:
        """End the command in any case."""
        if self._process.poll() is None:
            self._process.kill()
            self.end()


@pytest.fixture
def on_terminal(tmp_path: Path, url: URL, store: Store) -> Iterator[Callable[..., Terminal]]:
    """Provide a function that starts ``review`` on a terminal, with a filled ledger."""
    fill(store)
    station = Station(tmp_path, tmp_path / "none.pt", url)
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> Terminal:
            made = Terminal(station, *words)
            stack.callback(made.kill)
            return made

        yield start


def test_the_queue_on_a_terminal(on_terminal: Callable[..., Terminal], url: URL) -> None:
    """Each image comes with its weld, reason and thresholds; keys write verdicts under the person's name."""
    terminal = on_terminal("--reviewer", "ann", "--reason", "review")
    for number, key, said in ((3, "p", "PASS"), (6, "2", 'FAIL a "hole"; or two'), (9, " ", "later")):
        shown = terminal.until("\n> ")
        assert f"inspection {number} · part P" in shown
        assert "REVIEW burn through 0.900: uncertain: no class reaches its threshold" in shown
        terminal.press(key)
        terminal.until(f"^{re.escape(said)}\n")
    terminal.until("\n> ")
    terminal.press("q")
    assert terminal.until("left for later\n") == "1 FAIL, 1 PASS, 1 left for later\n"
    assert terminal.end() == 0
    assert rows(url, SAID) == [(3, "PASS", None, "ann"), (6, "FAIL", 'a "hole"; or two', "ann")]


def test_the_picture_is_beside_the_terminal(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> None:
    """With a display a browser gets the image before the question, or why it cannot be shown."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    for n in range(2):
        station.put(f"{n}.png", seed=n)
    station.once()
    if [row.verdict for row in station.rows("SELECT verdict FROM inspection")].count("PASS"):
        assert say(station, "review", "sample", "--count", "2").exit_code == 0
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "xdg-open").write_text(f'#!/bin/sh\nln "$1" "{tmp_path}/first.html"\n')
    (programs / "xdg-open").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    terminal = Terminal(station, DISPLAY=":0", HOME=str(tmp_path), PATH=path)
    try:
        terminal.until("\n> ")
        [file] = tmp_path.glob("weldnet-review-*/image.html")
        assert "data:image/png;base64," in file.read_text()
        for image in station.archive.rglob("*.png"):
            image.unlink()
        terminal.press(" ")
        assert "is missing; see 'weld-inspect trace" in terminal.until("\n> ")
        assert "is missing" in file.read_text()
        wait_for((tmp_path / "first.html").exists)
        terminal.press("q")
        terminal.until("left for later\n")
        assert terminal.end() == 0
    finally:
        terminal.kill()
    assert not file.exists()


def test_somebody_elses_verdict_while_the_queue_is_open(
    on_terminal: Callable[..., Terminal], url: URL, store: Store
) -> None:
    """An image that another person has decided since the list was read is named and passed over."""
    terminal = on_terminal("--reviewer", "ann", "--reason", "fail")
    terminal.until("\n> ")
    store.record_reviews([Review(5, "bob", PASS)])
    terminal.press("p")
    assert "inspection 5: bob has said PASS meanwhile" in terminal.until("\n> ")
    terminal.press("\x03")
    assert terminal.until("1 PASS\n")
    assert terminal.end() == 0
    assert rows(url, SAID) == [(5, "PASS", None, "bob"), (2, "PASS", None, "ann")]


def test_an_empty_queue_is_one_line(on_terminal: Callable[..., Terminal]) -> None:
    """If no image waits for this reason, the command says so and ends."""
    terminal = on_terminal("--reason", "audit")
    assert "no image waits for a verdict" in terminal.until("no verdict\n")
    assert terminal.end() == 0


def test_without_a_terminal_it_asks_nothing(tmp_path: Path, url: URL) -> None:
    """In a pipe it names the commands for that, without settings it shows its help, and options go last."""
    config = str(Station(tmp_path, tmp_path / "none.pt", url).config)
    done = CliRunner().invoke(app, ["review", "--config", config])
    assert isinstance(done.exception, UsageError)
    assert "'review next'" in str(done.exception)
    done = CliRunner().invoke(app, ["review"])
    assert done.exit_code == 2
    assert "Usage:" in done.output
    done = CliRunner().invoke(app, ["review", "--config", config, "next", "--config", config])
    assert isinstance(done.exception, UsageError)
    assert str(done.exception) == "give the options after the command: review next …"
