"""The review service: it writes the verdicts of accounts that may only read the SQLite file.

systemd listens on a socket beside the file, on which only a group may connect, and starts this program for
each connection (``deploy/weldnet-review.socket``). So it is another process than the station, whose work it
cannot delay, and it works if the station is stopped. The kernel names the account at the other end, and that
is the reviewer's name. The account itself can write to no file of the station.
"""

from __future__ import annotations

import contextlib
import logging
import pwd
import socket
import struct
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from inspector.errors import StationError, UsageError
from inspector.ledger.store import Store
from inspector.records import Review
from inspector.review import verdicts
from inspector.review.requests import MAX_LINE_BYTES, Answer, Request, from_line, to_line

log = logging.getLogger("weldnet")

GROUP: Final = "weld-review"  # its members may add verdicts, as deploy/sysusers.conf makes it
UNIT: Final = "weldnet-review.socket"
CONSOLE: Final = "weldnet-console"  # account of the review console, which alone signs for other people
_MAX_SILENCE_S: Final = (
    600.0  # after that a connection ends, since each is a process; the client connects again
)
_OVERFLOW_ID: Final = 65_534  # the number of every account that a user namespace does not know


def socket_of(file: Path) -> Path:
    """Return the path of the service's socket for a SQLite file."""
    return file.with_name(f"{file.name}-review")


def serve(
    connection: socket.socket,
    url: URL,
    station: str,
    *,
    seam_gap_s: float,
    zone: tzinfo,
    console: str = CONSOLE,
) -> None:
    """Answer the requests of one connection until it ends, is silent, or sends a line that is no request.

    Args:
        connection: a Unix stream socket.
        url: the quality database.
        station: whose PASS images a sample is drawn from.
        seam_gap_s: see :meth:`inspector.ledger.store.Store.open`.
        zone: the station's time zone.
        console: the account that may name the person.
    """
    connection.settimeout(_MAX_SILENCE_S)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for line in _lines(connection):
            request = None
            try:
                account = account_of(connection)
                request = from_line(line)
                if request.names_people and account != console:
                    raise UsageError(
                        f"only the account {console} may name the person; leave the name out: it is {account}"
                    )
                # Opened for each request: a connection that waits for a person holds no file open.
                with Store.open(url, station, seam_gap_s=seam_gap_s) as store:
                    answer = _carry_out(request, account, store, url, zone)
            except StationError as error:
                log.warning("review: %s", error)
                answer = Answer(error=str(error), exit_status=error.exit_status)
            connection.sendall(to_line(answer))
            if request is None:
                return


def refuse(connection: socket.socket, error: StationError) -> None:
    """Answer the first request with an error, and read no more: the service itself is not in order."""
    connection.settimeout(_MAX_SILENCE_S)
    with contextlib.suppress(TimeoutError, ConnectionError):
        next(_lines(connection), None)
        connection.sendall(to_line(Answer(error=str(error), exit_status=error.exit_status)))


def account_of(connection: socket.socket) -> str:
    """Return the name of the account that opened the other end of a connection.

    Raises:
        UsageError: the account has no name here.
    """
    size = struct.calcsize("iII")
    _pid, user, _group = struct.unpack(
        "iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    )
    if user == _OVERFLOW_ID:  # PrivateUsers=true in the unit hides every account
        raise UsageError(
            "the review service cannot see which account asks; remove PrivateUsers= from its unit"
        )
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        raise UsageError(f"account {user} has no name on this machine; add it with useradd") from None


def _carry_out(request: Request, account: str, store: Store, url: URL, zone: tzinfo) -> Answer:
    """Write what a request asks for.

    Raises:
        UsageError: a verdict or the sample is wrong; nothing was written.
        StoreUnavailable: an outage.
    """
    answer = Answer(account=account)
    said = [item.review(account) for item in request.verdicts]
    if said:
        for mistake in verdicts.mistakes(url, said, new_class=request.new_class):
            if mistake is not None:
                raise UsageError(mistake)
        answer.added = store.record_reviews(said)
        images = sum(isinstance(item, Review) for item in said)
        log.info("review: %s: %d images, %d seams, %d new", account, images, len(said) - images, answer.added)
    if request.note is not None:
        note = request.note.signal_note(account)
        if (mistake := verdicts.note_mistake(note)) is not None:
            raise UsageError(mistake)
        answer.added += store.record_signal_note(note)
        log.info("review: %s: a note on %s %s", account, note.report, note.signal)
    if request.sample is not None:
        wanted = request.sample
        drawn = verdicts.draw(
            store,
            url,
            wanted.count,
            seed=wanted.seed,
            since=wanted.since,
            until=wanted.until,
            part=wanted.part,
            zone=zone,
        )
        answer.drawn, answer.population = drawn.drawn, drawn.population
        log.info("review: %s: a sample of %d of %d images", account, drawn.drawn, drawn.population)
    return answer


def _lines(connection: socket.socket) -> Iterator[bytes]:
    """Yield each line; of one that is too long only the beginning, and nothing after it."""
    with connection.makefile("rb") as stream:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            yield line
