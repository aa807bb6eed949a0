"""The documents: links that lead somewhere, and commands that exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt  # a dependency of rich
from markdown_it.token import Token
from typer.main import get_command

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("benchmarks", "deploy", "docs", "inspector", "sql", "tests", "trainer")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(page for name in FOLDERS for page in (ROOT / name).rglob("*.md"))])
OUTSIDE = re.compile(r"[a-z]+:")  # https:, mailto:; not looked up, for tests need no network
CALL = re.compile(r"\b(weld-inspect|weld-train)((?: [a-z]+\b(?![.:/=-]))*)")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _tokens(document: Path) -> list[Token]:
    """Every token of a Markdown file, inline ones too."""
    blocks = MarkdownIt("commonmark").enable("table").parse(document.read_text(encoding="utf-8"))
    return [token for block in blocks for token in (block, *(block.children or []))]


def _links(document: Path) -> list[str]:
    """The targets of links and pictures."""
    targets = [token.attrGet("href") or token.attrGet("src") for token in _tokens(document)]
    return [str(target) for target in targets if target]


@cache
def _anchors(document: Path) -> set[str]:
    """The anchors of headings, as code hosts and the site's generator make them."""
    tokens, anchors = _tokens(document), set[str]()
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            words = "".join(child.content for child in token.children or [])
            slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
            copies = sum(1 for known in anchors if re.fullmatch(rf"{re.escape(slug)}(-\d+)?", known))
            anchors.add(f"{slug}-{copies}" if copies else slug)
    return anchors


def _broken(document: Path) -> Iterator[str]:
    for link in _links(document):
        if OUTSIDE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.is_relative_to(ROOT) or not target.exists():
            yield f"{link}: no such file"
        elif anchor and (target.suffix != ".md" or anchor not in _anchors(target)):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_links_lead_somewhere(document: Path):
    """Every relative link of a Markdown file names a file that exists and, if it has one, a heading in it."""
    assert list(_broken(document)) == []


def test_every_page_can_be_found():
    """Every page below docs/ is linked from another page, so that no page has to be guessed."""
    linked = {
        (document.parent / link.partition("#")[0]).resolve()
        for document in DOCUMENTS
        for link in _links(document)
        if not OUTSIDE.match(link)
    }
    pages = {page for page in DOCUMENTS if page.is_relative_to(ROOT / "docs")}
    assert sorted(map(_name, pages - linked - {ROOT / "docs" / "index.md"})) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=_name)
def test_commands_exist(document: Path):
    """Every command of ours that a document shows as code exists, sub-commands too."""
    from inspector.commands.cli import app as inspect
    from trainer.commands.cli import app as train

    programs = {"weld-inspect": get_command(inspect), "weld-train": get_command(train)}
    code = "\n".join(token.content for token in _tokens(document) if token.type.startswith(("code", "fence")))
    unknown = []
    for program, words in CALL.findall(code):
        known = programs[program]
        for word in words.split():
            commands = getattr(known, "commands", None)
            if commands is None:
                break  # the rest are arguments
            if word not in commands:
                unknown += [f"{program}{words}"] * (not _takes_a_name(known))
                break
            known = commands[word]
    assert unknown == []


def _takes_a_name(command: object) -> bool:
    """Whether a group reads an unknown word itself: ``report NAME`` is one of the SQL files."""
    return getattr(command, "name", None) == "report"


def test_the_readme_is_short():
    """The README keeps within 1,200 words: the rest belongs into docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 1200
