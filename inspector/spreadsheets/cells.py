"""Text cells of a CSV for spreadsheets, which must show the text and never run it as a formula.

A spreadsheet runs a cell that begins like a formula, and file names and notes come from other people. By
OWASP's rule (owasp.org/www-community/attacks/CSV_Injection) an apostrophe goes before such a text.
"""

from __future__ import annotations

from typing import Any, Final

_FORMULA_STARTS: Final = tuple("=+-@\t\r\n＝＋－＠")
_SHOWN_AS_TEXT: Final = "'"


def as_cell(value: Any) -> Any:
    """Return the cell for a value in a CSV for people; numbers stay numbers, negative ones too.

    >>> as_cell("=1+1.png"), as_cell("a=b"), as_cell(-0.5)
    ("'=1+1.png", 'a=b', -0.5)
    """
    is_formula = isinstance(value, str) and value.startswith(_FORMULA_STARTS)
    return f"{_SHOWN_AS_TEXT}{value}" if is_formula else value


def from_cell(text: str) -> str:
    """Return the text of a cell that a person sent back: the inverse of :func:`as_cell`.

    >>> from_cell("'=1+1.png"), from_cell("'quoted'")
    ('=1+1.png', "'quoted'")
    """
    return text[1:] if text.startswith(_SHOWN_AS_TEXT) and text[1:].startswith(_FORMULA_STARTS) else text
