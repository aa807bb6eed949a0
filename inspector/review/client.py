"""The other end of the review service: an account that may only read the SQLite file."""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from inspector.errors import StationError, StoreUnavailable, UsageError
from inspector.records import Review, SeamReview, SignalNote
from inspector.review.requests import MAX_LINE_BYTES, Answer, Request, Sample, noted, said, to_line
from inspector.review.service import CONSOLE, GROUP, UNIT
from inspector.review.verdicts import Draw

_MAX_ANSWER_S: Final = 120.0  # a sample of a table of millions takes seconds, and another writer 30 at most
_SEE: Final = "see 'People who review and read' in INSTALL.md"


def own_account() -> str:
    """Return the name of the account that runs this program.

    Raises:
        UsageError: it has none, as in some containers.
    """
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise UsageError("the reviewer is unknown; name one with --reviewer") from None


class ServiceClient:
    """A :class:`~inspector.review.recorder.Recorder` for an account that may only read the SQLite file.

    Args:
        path: the service's socket.
        console: the account that may name the person.
    """

    def __init__(self, path: Path, *, console: str = CONSOLE) -> None:
        self._path = path
        self._console = console
        self._channel: socket.socket | None = None

    @property
    def account(self) -> str | None:
        """The name of this account, which the service sees by itself; None: this is the console's account."""
        own = own_account()
        return None if own == self._console else own

    def record(self, reviews: Sequence[Review | SeamReview], *, new_class: bool = False) -> int:
        """Let the service write verdicts; one that is sent again adds no row."""
        verdicts = said(reviews, with_names=self.account is None)
        return self._ask(Request(verdicts=verdicts, new_class=new_class)).added

    def note_signal(self, note: SignalNote) -> int:
        """Let the service write a note on a signal; one that is sent again adds no row."""
        return self._ask(Request(note=noted(note, with_name=self.account is None))).added

    def draw(
        self,
        count: int,
        *,
        seed: int,
        since: str | None = None,
        until: str | None = None,
        part: str | None = None,
    ) -> Draw:
        """Let the service draw a sample, so that no account can choose the images."""
        self.close()  # a new connection, on which nothing is sent twice
        wanted = Sample(count=count, seed=seed, since=since, until=until, part=part)
        answer = self._ask(Request(sample=wanted))
        return Draw(drawn=answer.drawn, population=answer.population, seed=seed)

    def ask_for_name(self) -> str:
        """Return the name that the service gives to this account's verdicts."""
        return self._ask(Request()).account

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _ask(self, request: Request) -> Answer:
        line = to_line(request)
        if len(line) > MAX_LINE_BYTES:
            raise UsageError(
                f"{len(request.verdicts)} verdicts are too many for one request; send half of them"
            )
        reply = b""
        if self._channel is not None:
            reply = self._exchange(self._channel, line)  # empty if the service closed a silent connection
        if not reply:
            self.close()
            self._channel = self._connected()
            reply = self._exchange(self._channel, line)
        if not reply:
            self.close()
            raise StoreUnavailable(
                f"{self._path}: the review service ended without an answer; see 'journalctl --unit "
                f"weldnet-review@*', or try again when fewer people review ({_SEE})"
            )
        try:
            answer = Answer.model_validate_json(reply)
        except ValidationError:
            raise StoreUnavailable(
                f"{self._path}: this is no review service of this program; {_SEE}"
            ) from None
        if answer.error is not None:
            raise UsageError(answer.error) if answer.exit_status == 2 else StationError(answer.error)
        return answer

    def _exchange(self, channel: socket.socket, line: bytes) -> bytes:
        try:
            channel.sendall(line)
            with channel.makefile("rb") as stream:
                return stream.readline(MAX_LINE_BYTES)
        except TimeoutError:
            raise StoreUnavailable(
                f"{self._path}: no answer for {_MAX_ANSWER_S:g} s; try again: what was written stays"
            ) from None
        except ConnectionError:
            return b""

    def _connected(self) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        channel.settimeout(_MAX_ANSWER_S)
        try:
            folder = os.open(self._path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:  # the path itself may be longer than a socket's may be
                channel.connect(f"/proc/self/fd/{folder}/{self._path.name}")
            finally:
                os.close(folder)
        except PermissionError:
            channel.close()
            raise UsageError(
                f"{self._path}: this account may not add verdicts; as root: usermod --append --groups "
                f"{GROUP} {own_account()}, then log in again"
            ) from None
        except OSError as error:
            channel.close()
            raise StoreUnavailable(
                f"{self._path}: the review service, which adds verdicts, does not answer ({error.strerror}); "
                f"as root: systemctl enable --now {UNIT} ({_SEE})"
            ) from None
        return channel
