"""What a reviewer's account asks of the review service: one JSON object per line, and one as the answer.

A request can only add: verdicts on images and on passes over a seam, a random sample, or a note on a signal.
The service knows the account that asks, and that is the person. Only the console's account names another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inspector.errors import UsageError
from inspector.records import Review, SeamReview, SignalNote, Verdict

MAX_LINE_BYTES: Final = 1 << 20  # some ten thousand verdicts, whose transaction takes about a second
_STRICT: Final = ConfigDict(strict=True, extra="forbid")
_MAX_NUMBER: Final = 2**63 - 1  # of a row
_Key = Annotated[str, Field(pattern=r"^[!-~]{1,64}$")]  # as of a UUID
_Person = Annotated[str, Field(min_length=1, max_length=200)]


class Said(BaseModel):
    """A person's verdict on an image, or on the pass over a seam that the image is the newest frame of."""

    model_config = _STRICT
    inspection: Annotated[int, Field(ge=1, le=_MAX_NUMBER)]
    verdict: Verdict
    label: str | None = None  # of an image only
    note: str | None = None
    on_seam: bool = False
    key: _Key | None = None
    is_blind: bool | None = None  # of an image only
    reviewer: _Person | None = None  # None: the account

    def review(self, account: str) -> Review | SeamReview:
        """Return the verdict with the name of the person."""
        person = self.reviewer or account
        if self.on_seam:
            return SeamReview(self.inspection, person, self.verdict, self.note or None, self.key)
        words = self.label or None, self.note or None
        return Review(self.inspection, person, self.verdict, *words, key=self.key, is_blind=self.is_blind)


class Sample(BaseModel):
    """A random sample of PASS images to draw; the fields are those of ``review sample``."""

    model_config = _STRICT
    count: Annotated[int, Field(ge=1, le=1_000_000)]
    seed: Annotated[int, Field(ge=0, le=2**62)]
    since: str | None = None
    until: str | None = None
    part: str | None = None


class Noted(BaseModel):
    """A note on a signal of a chart."""

    model_config = _STRICT
    report: Annotated[str, Field(min_length=1, max_length=100)]
    signal: Annotated[str, Field(min_length=1, max_length=1000)]
    cause: str
    action: str = ""
    key: _Key
    person: _Person | None = None  # None: the account

    def signal_note(self, account: str) -> SignalNote:
        """Return the note with the name of the person."""
        person = self.person or account
        return SignalNote(self.report, self.signal, person, self.cause, self.action, self.key)


class Request(BaseModel):
    """A request: verdicts (all or none), a sample, a note. An empty one asks for the account's name."""

    model_config = _STRICT
    verdicts: list[Said] = []
    new_class: bool = False  # the verdicts may name classes that no artifact knows yet
    sample: Sample | None = None
    note: Noted | None = None

    @property
    def names_people(self) -> bool:
        """Whether the request signs with the name of a person."""
        noted = self.note is not None and self.note.person is not None
        return noted or any(item.reviewer is not None for item in self.verdicts)


class Answer(BaseModel):
    """The answer: the account that asked, what was added, or what is wrong."""

    account: str = ""  # the name that its verdicts get
    added: int = 0  # verdicts or notes; one that repeats the latest, or an earlier key, adds none
    drawn: int = 0
    population: int = 0  # PASS images that could be drawn
    error: str | None = None
    exit_status: int = 1  # of a command that ends with this error


def said(reviews: Sequence[Review | SeamReview], *, with_names: bool) -> list[Said]:
    """Return verdicts as a request has them, with the names of the reviewers or without."""
    return [
        Said(
            inspection=review.inspection,
            verdict=review.verdict,
            label=review.label if isinstance(review, Review) else None,
            note=review.note,
            on_seam=isinstance(review, SeamReview),
            key=review.key,
            is_blind=review.is_blind if isinstance(review, Review) else None,
            reviewer=review.reviewer if with_names else None,
        )
        for review in reviews
    ]


def noted(note: SignalNote, *, with_name: bool) -> Noted:
    """Return a note as a request has it, with the name of the person or without."""
    return Noted(
        report=note.report,
        signal=note.signal,
        cause=note.cause,
        action=note.action,
        key=note.key,
        person=note.person if with_name else None,
    )


def to_line(message: BaseModel) -> bytes:
    """Return a request or an answer as a line."""
    return message.model_dump_json(exclude_defaults=True).encode() + b"\n"


def from_line(line: bytes) -> Request:
    """Read a request.

    Raises:
        UsageError: the line is too long or no such JSON object; the message names the first mistake only.
    """
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(f"the request is longer than {MAX_LINE_BYTES} bytes; send fewer verdicts at a time")
    try:
        return Request.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise UsageError(f"not a request of this program: {where}: {first['msg']}"[:200]) from None
