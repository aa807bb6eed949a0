"""The words of the quality report in one language, and readable numbers, instants and names."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from inspector.errors import UsageError

LANGUAGES = {"en": "en", "de": "de", "zh": "zh-Hans"}  # the option's value → the page's language tag (BCP 47)
NOTHING = "–"
INSTANT_COLUMNS = frozenset({"hour", "first", "last", "from", "until", "bad_from", "bad_to"})
_NARROW_SPACE = "\u202f"
# Characters that no page may contain: control characters break XML, lone surrogates have no UTF-8, and marks
# of writing direction make one name look like another.
_UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def printable(text: object) -> str:
    r"""Any text as one line that can be shown; other characters become the replacement character.

    >>> printable("two\nlines")
    'two�lines'
    """
    return _UNSHOWN.sub("\ufffd", str(text))


_REPORT = Path(__file__).with_name("templates") / "words.yaml"


@cache
def _catalogue(*files: Path) -> dict[str, Any]:
    """The groups of words of every file."""
    groups: dict[str, Any] = {}
    for file in files:
        groups |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return groups


class Words:
    """The catalogue ``templates/words.yaml`` in one language.

    Args:
        language: one of :data:`LANGUAGES`.
        more: catalogues of other pages, with groups of their own beside those of the report.

    Raises:
        UsageError: the catalogue does not have the language.
    """

    def __init__(self, language: str = "en", *more: Path) -> None:
        if language not in LANGUAGES:
            raise UsageError(
                f"--language '{language}' is not in the catalogue; it has {', '.join(LANGUAGES)}"
            )
        self.language = language
        self._catalogue = _catalogue(_REPORT, *more)

    def __call__(self, key: str, /, **values: object) -> str:
        """The words of a key such as ``page.title``, with the values filled in."""
        group, _, name = key.partition(".")
        text: str = self._catalogue[group][name][self.language]
        return text.format(**values) if values else text

    def keys(self, group: str) -> list[str]:
        """The names in a group of the catalogue, for a page whose script says them."""
        return list(self._catalogue[group])

    def heading(self, column: str) -> str:
        """The heading of a column; its SQL name if the catalogue has none."""
        known = self._catalogue["column"].get(column)
        return str(known[self.language]) if known else printable(column.replace("_", " "))

    def cell(self, column: str, value: Any) -> str:
        """One value of a report as text: shares in percent, the program's own words translated.

        Args:
            column: the column of the report.
            value: the value that :func:`inspector.reports.query.run` returned.
        """
        if value is None:
            return NOTHING
        if column in INSTANT_COLUMNS:
            return instant(str(value))
        if isinstance(value, str):
            known = self._catalogue["value"].get(column, {}).get(value)
            return str(known[self.language]) if known else printable(value)
        if isinstance(value, float):
            return self.share(value) if column.endswith("share") else self.number(value, _digits(column))
        return self.number(value)

    def share(self, value: float, digits: int = 1) -> str:
        """A share from 0 to 1 as percent."""
        return self.number(value * 100, digits) + self("number.percent").replace(" ", _NARROW_SPACE)

    def number(self, value: float, digits: int = 0) -> str:
        """A number with the decimal and thousands marks of the language."""
        whole, _, fraction = f"{value:,.{digits}f}".partition(".")
        text = whole.replace(",", self("number.thousands"))
        return text + (self("number.decimal") + fraction if fraction else "")


def instant(text: str) -> str:
    """An ISO 8601 instant to the minute, as ``2026-01-31 14:05``; any other text unchanged."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return printable(text)


def _digits(column: str) -> int:
    """Digits after the decimal mark."""
    return (
        1
        if column.endswith("_ms") or "hours" in column or column.startswith(("estimated", "expected"))
        else 3
    )
