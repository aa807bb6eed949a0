"""The review service adds verdicts and samples in the name of the account that asks, and nothing else."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ledger_samples import START_US
from review_services import listening, serving
from sqlalchemy.engine import URL
from verdict_samples import drawn, fill, rows
from waiting import HANG_S

from inspector.errors import StationError, StoreUnavailable, UsageError
from inspector.ledger.store import Store
from inspector.records import Review, SeamReview, SignalNote, Verdict
from inspector.review.client import ServiceClient, own_account
from inspector.review.requests import MAX_LINE_BYTES
from inspector.review.service import socket_of

SAID = "SELECT inspection_id, reviewer, verdict, label, note FROM review ORDER BY id"
ON_SEAMS = "SELECT inspection_id, reviewer, verdict, note FROM seam_review ORDER BY id"
MAIN = "from inspector.commands.cli import main; main()"
NOT_REQUESTS = {
    "no JSON": b"{",
    "no object": b"[1]",
    "an empty name": b'{"verdicts":[{"inspection":1,"verdict":"PASS","reviewer":""}]}',
    "a key of two words": b'{"verdicts":[{"inspection":1,"verdict":"PASS","key":"1 2"}]}',
    "a key without end": b'{"verdicts":[{"inspection":1,"verdict":"PASS","key":"' + b"1" * 65 + b'"}]}',
    "a note without a key": b'{"note":{"report":"p_chart","signal":"1","cause":"gas"}}',
    "no number": b'{"verdicts":[{"inspection":"1","verdict":"PASS"}]}',
    "a number of no row": b'{"verdicts":[{"inspection":0,"verdict":"PASS"}]}',
    "a number of too many bits": b'{"verdicts":[{"inspection":9223372036854775808,"verdict":"PASS"}]}',
    "no verdict": b'{"verdicts":[{"inspection":1,"verdict":"pass"}]}',
    "too large a sample": b'{"sample":{"count":1000001,"seed":1}}',
    "another wish": b'{"delete":[1]}',
    "bytes that are no text": b'{"verdicts":[{"inspection":1,"verdict":"PASS","note":"\xff"}]}',
    "nested without end": b"[" * 100_000,
    "too long": b'{"note":"' + b"x" * MAX_LINE_BYTES + b'"}',
    "empty": b"",
}


@pytest.fixture
def url(url_of: Callable[[str], URL]) -> URL:
    """Provide a SQLite file of twelve judged images."""
    url = url_of("sqlite")
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        fill(store)
    return url


@pytest.fixture
def client(url: URL) -> Iterator[ServiceClient]:
    """Provide a client of the service of that file."""
    with serving(url) as path:
        client = ServiceClient(path)
        yield client
        client.close()


def test_verdicts_get_the_name_of_the_account(url: URL, client: ServiceClient) -> None:
    """Verdicts on images and seams are written with the account's name, whatever name the client has."""
    me = own_account()
    said = [
        Review(1, "bert", Verdict.FAIL, "burn through", "crack\nat the end"),
        Review(2, "bert", Verdict.PASS),
        SeamReview(2, "bert", Verdict.REVIEW, "half of it is missing"),
    ]
    assert client.record(said) == 3
    assert client.record(said) == 0
    assert rows(url, SAID) == [
        (1, me, "FAIL", "burn through", "crack\nat the end"),
        (2, me, "PASS", None, None),
    ]
    assert rows(url, ON_SEAMS) == [(2, me, "REVIEW", "half of it is missing")]
    [(at,)] = rows(url, "SELECT min(reviewed_us) FROM review")
    assert at > START_US
    assert client.ask_for_name() == client.account == me


def test_the_console_names_the_person(url: URL) -> None:
    """The console's account signs for others, on images, seams and signals, once for each key."""
    me = own_account()
    said = [
        Review(1, "bert", Verdict.FAIL, key="1", is_blind=True),
        Review(1, "carla", Verdict.FAIL, key="2", is_blind=False),
        SeamReview(2, "bert", Verdict.PASS, key="1"),
    ]
    note = SignalNote("p_chart", "a shift", "bert", "gas", "new bottle", key="1")
    with serving(url, console=me) as path:
        console = ServiceClient(path, console=me)
        assert console.account is None
        assert [console.record(said) for _ in range(2)] == [3, 0]
        assert [console.note_signal(note) for _ in range(2)] == [1, 0]
        with pytest.raises(UsageError, match="the note names no cause"):
            console.note_signal(dataclasses.replace(note, cause=" ", key="2"))
        console.close()
    keyed = "SELECT reviewer, request_key, is_blind FROM review ORDER BY id"
    assert rows(url, keyed) == [("bert", "1", 1), ("carla", "2", 0)]
    assert rows(url, "SELECT reviewer, request_key FROM seam_review") == [("bert", "1")]
    noted = "SELECT report, signal, person, cause, action, request_key FROM signal_note"
    assert rows(url, noted) == [("p_chart", "a shift", "bert", "gas", "new bottle", "1")]


def test_no_other_account_names_a_person(url: URL) -> None:
    """A name from any other account gets one line of refusal; its own verdicts and notes need no name."""
    me = own_account()
    note = SignalNote("p_chart", "a shift", "bert", "gas", "new bottle", key="1")
    with serving(url) as path:
        forger = ServiceClient(path, console=me)
        for forge in (
            lambda: forger.record([Review(1, "bert", Verdict.PASS), Review(2, "bert", Verdict.PASS)]),
            lambda: forger.note_signal(note),
        ):
            with pytest.raises(
                UsageError, match="only the account weldnet-console may name the person"
            ) as line:
                forge()
            assert "\n" not in str(line.value)
        forger.close()
        honest = ServiceClient(path)
        assert (honest.note_signal(note), honest.record([Review(1, "bert", Verdict.PASS)])) == (1, 1)
        honest.close()
    assert [row[1] for row in rows(url, SAID)] == [me]
    assert rows(url, "SELECT person FROM signal_note") == [(me,)]


def test_a_sample_is_drawn_by_the_service(url: URL, client: ServiceClient) -> None:
    """The service draws among the PASS images and records the draw; the next takes what is left."""
    first = client.draw(3, seed=7)
    assert (first.drawn, first.population, first.seed) == (3, 4, 7)
    assert client.draw(3, seed=7).drawn == 1
    assert sorted(drawn(url)) == [1, 4, 7, 10]
    with pytest.raises(UsageError, match="no PASS image outside the earlier samples"):
        client.draw(3, seed=7)
    with pytest.raises(UsageError, match="since"):
        client.draw(3, seed=7, since="yesterday")


def test_a_wrong_verdict_is_refused(url: URL, client: ServiceClient) -> None:
    """One wrong verdict, and nothing of the request is written; the connection can be used further."""
    for said, says in (
        ([Review(1, "", Verdict.PASS), Review(99, "", Verdict.PASS)], "there is no inspection 99"),
        ([SeamReview(99, "", Verdict.PASS)], "there is no inspection 99"),
        ([Review(1, "", Verdict.FAIL, "good weld")], "an accepted class"),
        ([Review(1, "", Verdict.FAIL, "dent")], "no artifact knows a class 'dent'"),
    ):
        with pytest.raises(UsageError, match=says):
            client.record(said)
    assert rows(url, SAID) == []
    assert client.record([Review(1, "", Verdict.FAIL, "dent")], new_class=True) == 1


def test_a_line_that_is_no_request_gets_one_line(url: URL) -> None:
    """Any other line gets one line that says so; then the connection ends, and nothing is written."""
    with serving(url) as path:
        for what, line in NOT_REQUESTS.items():
            answers: list[bytes] = []
            with socket.socket(socket.AF_UNIX) as channel:
                channel.settimeout(HANG_S)
                channel.connect(str(path))
                with contextlib.suppress(ConnectionError), channel.makefile("rb") as stream:
                    # A long line may be refused before all of it is sent.
                    channel.sendall(line + b'\n{"verdicts":[{"inspection":1,"verdict":"PASS"}]}\n')
                    answers = stream.readlines()
            assert len(answers) == 1 or len(line) > MAX_LINE_BYTES, what
            for answer in answers:
                assert "\n" not in json.loads(answer)["error"]
                assert len(answer) < 300
    assert rows(url, SAID) == []


def test_a_service_that_is_off_is_named(url: URL) -> None:
    """Without a socket, or with one on which nothing listens, the message names the unit to start."""
    path = socket_of(Path(url.database or ""))
    with pytest.raises(StoreUnavailable, match=r"systemctl enable --now weldnet-review\.socket") as caught:
        ServiceClient(path).record([Review(1, "", Verdict.PASS)])
    assert caught.value.exit_status == 1
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(StoreUnavailable, match=r"systemctl enable --now weldnet-review\.socket"):
        ServiceClient(path).record([Review(1, "", Verdict.PASS)])


def test_too_many_connections_are_an_outage(tmp_path: Path) -> None:
    """A service that closes each connection at once, as systemd does beyond MaxConnections, is an outage."""
    with (
        listening(tmp_path / "s", lambda connection: None) as path,
        pytest.raises(StoreUnavailable, match="ended without an answer"),
    ):
        ServiceClient(path).record([Review(1, "", Verdict.PASS)])


def test_a_connection_that_was_silent_for_long_is_made_again(url: URL) -> None:
    """If the service has closed the connection, the verdict goes over a new one, and is there once."""
    path = socket_of(Path(url.database or ""))
    client = ServiceClient(path)
    for verdict in (Verdict.PASS, Verdict.FAIL):
        with serving(url):  # at its end it closes all connections
            assert client.record([Review(1, "", verdict)]) == 1
    client.close()
    assert [row[2] for row in rows(url, SAID)] == ["PASS", "FAIL"]


def test_more_than_a_request_holds_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    """Verdicts that do not fit into one request are refused: a part of them must not count."""
    many = [Review(number, "", Verdict.PASS, note="x" * 1000) for number in range(1, 2000)]
    with pytest.raises(UsageError, match="1999 verdicts are too many for one request; send half of them"):
        ServiceClient(tmp_path / "none").record(many)


def test_the_command_answers_one_connection(tmp_path: Path, url: URL) -> None:
    """``review serve`` answers on its standard input as systemd starts it; wrong settings are the answer."""
    config = tmp_path / "config.yaml"
    config.write_text(f"station: cell-1\ndatabase_url: {url.render_as_string()}\n")
    assert said_to_command(config, b'{"verdicts":[{"inspection":3,"verdict":"PASS"}]}\n') == {
        "account": own_account(),
        "added": 1,
    }
    assert [row[:3] for row in rows(url, SAID)] == [(3, own_account(), "PASS")]
    config.write_text("statoin: cell-1\n")
    answer = said_to_command(config, b"{}\n")
    assert "statoin" in str(answer["error"])
    assert answer["exit_status"] == 2
    words = [sys.executable, "-c", MAIN, "review", "serve", "--config", str(config)]
    done = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert done.returncode == 2
    assert "people use 'review set'" in done.stderr


def said_to_command(config: Path, line: bytes) -> dict[str, object]:
    """The answer of a ``review serve`` process to a line, and no more."""
    ours, theirs = socket.socketpair()
    words = [sys.executable, "-c", MAIN, "review", "serve", "--config", str(config)]
    with ours, theirs, subprocess.Popen(words, stdin=theirs, stderr=subprocess.PIPE) as process:
        theirs.close()
        ours.settimeout(HANG_S)
        ours.sendall(line)
        ours.shutdown(socket.SHUT_WR)
        with ours.makefile("rb") as stream:
            [answer] = stream.readlines()
        process.communicate(timeout=HANG_S)
    return dict(json.loads(answer))


def test_the_account_is_the_one_that_opened_the_connection(url: URL) -> None:
    """The name is that of the process at the other end, not that of its environment."""
    environment = os.environ | {"LOGNAME": "bert", "USER": "bert"}
    with serving(url) as path:
        program = (
            "import sys; from pathlib import Path; from inspector.review.client import ServiceClient;"
            "print(ServiceClient(Path(sys.argv[1])).ask_for_name())"
        )
        words = [sys.executable, "-c", program, str(path)]
        done = subprocess.run(
            words, env=environment, capture_output=True, text=True, check=False, timeout=HANG_S
        )
    assert done.stdout.strip() == own_account(), done.stderr


def test_an_outage_of_the_database_is_the_answer(url: URL, client: ServiceClient) -> None:
    """If the SQLite file cannot be used, its message comes back, and the command ends with its status."""
    Path(url.database or "").rename(f"{url.database}.moved")
    with pytest.raises(StationError, match="there is no database"):
        client.record([Review(1, "", Verdict.PASS)])
