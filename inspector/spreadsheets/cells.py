"""Text cells of a CSV that a person opens in a spreadsheet, which must show them and never run them.

A spreadsheet takes a cell that begins like a formula for one, and a file's name or a note is somebody else's
text. By OWASP's rule (owasp.org/www-community/attacks/CSV_Injection) such a cell begins with an apostrophe.
"""

from __future__ import annotations

from typing import Any, Final

_FORMULA_STARTS: Final = tuple("=+-@\t\r\n＝＋－＠")
_SHOWN_AS_TEXT: Final = "'"


def as_cell(value: Any) -> Any:
    """Return what a CSV for people holds of a value; numbers stay numbers, negative ones too.

    >>> as_cell("=1+1.png"), as_cell("a=b"), as_cell(-0.5)
    ("'=1+1.png", 'a=b', -0.5)
    """
    is_formula = isinstance(value, str) and value.startswith(_FORMULA_STARTS)
    return f"{_SHOWN_AS_TEXT}{value}" if is_formula else value


def from_cell(text: str) -> str:
    """Return the text of a cell that a person sent back: :func:`as_cell` undone.

    >>> from_cell("'=1+1.png"), from_cell("'quoted'")
    ('=1+1.png', "'quoted'")
    """
    return text[1:] if text.startswith(_SHOWN_AS_TEXT) and text[1:].startswith(_FORMULA_STARTS) else text
