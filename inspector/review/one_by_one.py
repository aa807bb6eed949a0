"""Waiting images one by one: a key for each, and each verdict is written before the next image is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from inspector.records import Verdict

KEYS = {"p": Verdict.PASS, "f": Verdict.FAIL, "u": Verdict.REVIEW}
LATER = " "
HELP = "p PASS   f FAIL   1 to 9 FAIL with that class   u undecided   space later   b back   q quit"
_DIGITS = "123456789"


class Move(StrEnum):
    """A key that leads to another image, or to the end."""

    BACK = "b"
    END = "q"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said about an image; ``verdict`` is None if it was left for later."""

    verdict: Verdict | None
    label: str | None = None

    def __str__(self) -> str:
        """Return the words that follow the key."""
        return " ".join(filter(None, (self.verdict or "later", self.label)))


def go_through(
    numbers: Iterable[int],
    *,
    look: Callable[[int, bool], Sequence[str] | None],
    read_key: Callable[[], str],
    say: Callable[[str], None],
    record: Callable[[int, Answer], None],
) -> dict[int, Answer]:
    """Ask about each image until none is left, or the person ends it; return the last answer on each.

    Args:
        numbers: inspection numbers of waiting images.
        look: shows an image, and returns the defects that its artifact knows; None if it no longer waits. The
            second argument is True if the person has gone back to it.
        read_key: waits for a key. KeyboardInterrupt and EOFError end the round.
        say: prints a line.
        record: writes a verdict.
    """
    answers: dict[int, Answer] = {}
    asked: list[int] = []
    waiting, position = iter(numbers), 0
    while True:
        is_new = position == len(asked)
        number = next(waiting, None) if is_new else asked[position]
        if number is None:
            return answers
        defects = look(number, not is_new)
        if defects is None:
            continue
        if is_new:
            asked.append(number)
        answer = _answer(defects, read_key, say, may_go_back=position > 0)
        if answer is Move.END:
            return answers
        if answer is Move.BACK:
            position -= 1
            continue
        if answer.verdict is not None:
            record(number, answer)
        say(str(answer))
        answers[number] = answer if answer.verdict else answers.get(number, answer)
        position += 1


def _answer(
    defects: Sequence[str], read_key: Callable[[], str], say: Callable[[str], None], *, may_go_back: bool
) -> Answer | Move:
    """Read keys until one of them is an answer, or goes back or to the end."""
    while True:
        try:
            key = read_key().lower()
        except (KeyboardInterrupt, EOFError):
            return Move.END
        if key in KEYS:
            return Answer(KEYS[key])
        if key in _DIGITS[: len(defects)] and len(key) == 1:
            return Answer(Verdict.FAIL, defects[_DIGITS.index(key)])
        if key == LATER:
            return Answer(None)
        if key == Move.END or (key == Move.BACK and may_go_back):
            return Move(key)
        say("this is the first image" if key == Move.BACK else HELP)
