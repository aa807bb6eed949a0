"""The console's catalogue is complete in each language, and its pages and scripts ask for nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from string import Formatter
from typing import Any

import yaml

from inspector.console.state import CATALOGUE, STATIC, TEMPLATES
from inspector.reports.page.words import LANGUAGES, Words

WORDS = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))


def entries(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Every key with its words in each language."""
    for name, each in node.items():
        if set(each) == set(LANGUAGES):
            yield f"{path}{name}", each
        else:
            yield from entries(each, f"{path}{name}.")


def test_each_key_has_words_in_each_language():
    """Each key has words in each language, with the same places to fill in, and Chinese has its own marks."""
    found = list(entries(WORDS))
    assert len(found) > 100
    for key, texts in found:
        places = [{name for _, name, _, _ in Formatter().parse(texts[tag]) if name} for tag in LANGUAGES]
        assert all(texts.values()), key
        assert places[0] == places[1] == places[2], key
        assert not re.search(r"[\u4e00-\u9fff][,;:()]", texts["zh"]), key


def test_no_words_are_asked_for_that_are_not_there():
    """Each key in the modules, the templates and the scripts is in the catalogue or in that of the report."""
    known = {key for key, _ in entries(WORDS)}
    groups = "|".join(WORDS)
    modules = "".join(
        file.read_text(encoding="utf-8")
        for file in [*TEMPLATES.parent.glob("*.py"), *TEMPLATES.glob("*.html")]
    )
    asked = set(re.findall(rf'words\(\s*"((?:{groups})\.\w+)"\s*[,)]', modules))
    scripts = "".join(
        (STATIC / name).read_text(encoding="utf-8") for name in ("review.js", "facts.js", "outbox.js")
    )
    asked |= {f"keep.{name}" for name in re.findall(r'\bsay\("(\w+)"\s*[,)]', scripts)}
    assert len(asked) > 60
    assert asked <= known


def test_the_reports_words_are_there_too():
    """The console's words add groups to those of the report, and replace none."""
    assert not set(Words()._catalogue) & set(WORDS)
    assert Words("de", CATALOGUE)("nav.review") == "Prüfen"
