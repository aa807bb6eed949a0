"""inspector.spreadsheets.cells: a CSV for people shows text as text, in a spreadsheet too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.spreadsheets.cells import as_cell, from_cell


@pytest.mark.parametrize("start", [*"=+-@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_text_that_begins_like_a_formula_is_shown_as_text(start: str) -> None:
    """An apostrophe goes before each beginning that OWASP names."""
    assert as_cell(f"{start}cmd|' /C calc'!A0") == f"'{start}cmd|' /C calc'!A0"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        (" =1", "' =1"),
        ("\ufeff\u00a0@x", "'\ufeff\u00a0@x"),
        ("a;=1.png", "a;'=1.png"),
        ("a\n=1", "a\n'=1"),
        ("note\r\n +1; -2", "note\r\n' +1;' -2"),
        ("\t=1", "'\t'=1"),
        ("'=1", "''=1"),
    ],
)
def test_a_spreadsheet_with_other_separators_finds_no_formula_either(text: str, cell: str) -> None:
    """If separators are semicolons, or blanks are left out, an apostrophe goes before each formula."""
    assert as_cell(text) == cell
    assert from_cell(cell) == text


@pytest.mark.parametrize(
    "value", ["", "a=b", "a; b", "a,=b", "x\ny", "P-7", "'quoted'", "Träger", -0.25, 7, None]
)
def test_all_else_stays_as_it_is(value: object) -> None:
    """Numbers, empty cells and text that begins with another character are not touched."""
    assert as_cell(value) is value


@given(st.text(alphabet="=+-@ab1';\t\n\r ", max_size=8))
def test_a_cell_that_comes_back_is_the_text_again(text: str) -> None:
    """A cell that comes back from a person gives the text that was written."""
    assert from_cell(as_cell(text)) == text
