"""The reference pages: each says what the code says today."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("settings.md", "commands.md", "reports.md", "tables.md", "metrics.md")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """The program that writes the pages."""
    spec = importlib.util.spec_from_file_location("reference_pages", DOCS / "reference_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_each_page_is_the_one_that_the_code_makes(generator: ModuleType, page: str) -> None:
    """A page that differs from the code was not written again: run `make reference`."""
    assert (DOCS / "reference" / page).read_text(encoding="utf-8") == generator.pages()[page]


def test_the_answers_for_newcomers_name_code_that_exists() -> None:
    """Every folder, file and function in CONTRIBUTING's table of questions is there."""
    root = DOCS.parent
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2:5] for line in text.splitlines() if line.startswith("| ") and "`" in line]
    assert len(rows) == 10
    for folder, files, functions in rows:
        (place,) = re.findall(r"`(.+?)`", folder)
        program = place.partition("/")[0]
        names = re.findall(r"`(.+?)`", files)
        near = [dict.fromkeys((root / place / name, root / program / name)) for name in names]
        paths = [path for both in near for path in both if path.exists()]
        assert len(paths) == len(names), (place, names)
        code = "\n".join(path.read_text(encoding="utf-8") for path in paths)
        for name in re.findall(r"`(.+?)`", functions):
            assert re.search(
                rf"\b(def|class) {name.rpartition('.')[2]}\b|^{name} AS \(", code, re.MULTILINE
            ), name
