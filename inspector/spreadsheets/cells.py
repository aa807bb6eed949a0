"""Text cells of a CSV for spreadsheets, which must show the text and never run it as a formula.

A spreadsheet runs a cell that begins like a formula, and file names and notes come from other people. By
OWASP's rule (owasp.org/www-community/attacks/CSV_Injection) an apostrophe goes before such a text.
"""

from __future__ import annotations

import re
from typing import Any, Final

# A spreadsheet may leave these out: blanks and controls, other than those that end a cell.
_BLANKS: Final = r"(?:[^\S\t\r\n]|[\x00-\x08\x0e-\x1b\u200b\u2060\ufeff])*"
_FORMULA: Final = rf"{_BLANKS}[=+\-@＝＋－＠]"
# Where a cell begins. A German Excel separates cells by semicolons and tabs, and sees no quotes in the middle
# of what it takes for a cell: then a text with a semicolon or a line end is several cells.
_BEGIN: Final = rf"(?:(?<=[;\t\r\n])(?='*{_FORMULA})|\A(?='*(?:[\t\r\n]|{_FORMULA})))"
_AS_CELL: Final = re.compile(_BEGIN)
_FROM_CELL: Final = re.compile(f"{_BEGIN}'")


def as_cell(value: Any) -> Any:
    """Return what a CSV for people holds of a value; numbers stay numbers, negative ones too.

    >>> as_cell("=1+1.png"), as_cell("a;=b"), as_cell("a=b"), as_cell(-0.5)
    ("'=1+1.png", "a;'=b", 'a=b', -0.5)
    """
    return _AS_CELL.sub("'", value) if isinstance(value, str) and _AS_CELL.search(value) else value


def from_cell(text: str) -> str:
    """Return the text of a cell that a person sent back: the inverse of :func:`as_cell`.

    >>> from_cell("'=1+1.png"), from_cell("'quoted'")
    ('=1+1.png', "'quoted'")
    """
    return _FROM_CELL.sub("", text)
