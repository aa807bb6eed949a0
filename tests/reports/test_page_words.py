"""The catalogue of words is complete in each language; numbers, instants and names are readable."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from inspector.reports.page import words as module
from inspector.reports.page.words import LANGUAGES, Words, instant, printable

PACKAGE = Path(module.__file__).parent
CATALOGUE = yaml.safe_load((PACKAGE / "templates" / "words.yaml").read_text(encoding="utf-8"))


def entries(node: Any, path: str = "") -> list[tuple[str, dict[str, str]]]:
    """Every key with its words in each language."""
    if set(node) == set(LANGUAGES):
        return [(path, node)]
    return [found for key, each in node.items() for found in entries(each, f"{path}.{key}".lstrip("."))]


def test_each_key_has_words_in_each_language():
    """Each key has words in each language, with the same places to fill in."""
    found = entries(CATALOGUE)
    assert len(found) > 150
    for key, texts in found:
        places = {
            language: {name for _, name, _, _ in Formatter().parse(text) if name}
            for language, text in texts.items()
        }
        assert all(texts.values()), key
        assert places["en"] == places["de"] == places["zh"], key


def test_chinese_is_set_with_its_own_marks():
    """No half-width comma, colon or bracket follows a Chinese character."""
    for key, texts in entries(CATALOGUE):
        assert not re.search(r"[\u4e00-\u9fff][,;:()]", texts["zh"]), key


def test_no_words_are_asked_for_that_are_not_there():
    """Each key in the program and the templates is in the catalogue, and no key is unused."""
    text = "".join(
        file.read_text(encoding="utf-8")
        for file in [*PACKAGE.glob("*.py"), *(PACKAGE / "templates").glob("*.html")]
    )
    groups = "page|card|section|about|table|picture|n|plot|attention|number"
    asked = set(re.findall(rf'words\(\s*"((?:{groups})\.\w+)"', text)) | set(
        re.findall(r'"(plot\.\w+)"', text)
    )
    known = {key for key, _ in entries(CATALOGUE)}
    assert asked
    assert asked <= known
    plainly = {key for key in known if key.split(".")[0] in ("page", "n", "plot", "number")}
    built = {f"plot.{by}" for by in ("hour", "day", "shift", "week")} | {"n.files"}
    assert plainly - asked - built - set(re.findall(r'"(page\.\w+|number\.\w+)"', text)) == set()


@pytest.mark.parametrize(
    ("language", "share", "number", "nothing"),
    [("en", "12.3%", "1,234.5", "–"), ("de", "12,3\u202f%", "1.234,5", "–"), ("zh", "12.3%", "1,234.5", "–")],
)
def test_numbers_are_spelled_as_the_language_does(language: str, share: str, number: str, nothing: str):
    """Shares are in percent, with the thousands and decimal marks of the language."""
    words = Words(language)
    assert words.cell("fail_share", 0.1234) == share
    assert words.cell("p95_ms", 1234.5) == number
    assert words.cell("n", None) == nothing


def test_a_report_s_own_words_are_translated_and_names_are_not():
    """A band is translated; a class with the same name is not."""
    assert Words("de").cell("band", "stable") == "stabil"
    assert Words("de").cell("class", "stable") == "stable"
    assert Words("de").heading("a_new_column") == "a new column"


def test_an_instant_is_written_to_the_minute_in_its_zone():
    """An instant is shown to the minute in its own zone; any other text is unchanged."""
    assert instant("2026-03-29T03:30:59+02:00") == "2026-03-29 03:30"
    assert instant("9223372036854775807 µs") == "9223372036854775807 µs"
    assert Words().cell("first", "2026-03-29T03:30:59+02:00") == "2026-03-29 03:30"


@given(st.text(alphabet=st.characters(), max_size=50))
def test_plain_text_is_one_line_that_can_be_stored_and_shown(text: str):
    """It keeps its length, can be encoded and has no control characters; a second call changes nothing."""
    shown = printable(text)
    assert len(shown) == len(text)
    assert printable(shown) == shown
    assert shown.encode().decode() == shown
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)
