"""Configuration of the documentation site, which ``make docs`` builds with Sphinx into ``site/``.

The pages are plain Markdown and read the same on a code host. The site adds two things as it reads them: the
table of contents to the start page, and the installation notes to the page that links to them.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
project = "WeldNet inspection station"
extensions = ["myst_parser"]  # Markdown for Sphinx; it also checks links to files and headings
myst_heading_anchors = 4  # levels of headings that links may name
exclude_patterns = ["images"]
html_theme = "furo"
html_title = project
html_show_copyright = html_show_sphinx = html_copy_source = False

# Pages in the order of reading; a pattern adds the rest of its folder.
CONTENTS = {
    "Tutorial": ["tutorial/first-station", "tutorial/*"],
    "How to": ["how-to/install", "how-to/operate", "how-to/review", "how-to/train", "how-to/*"],
    "Reference": ["reference/*"],
    "Explanation": ["explanation/file-life", "explanation/*"],
    "Measurements": ["measurements/index", "measurements/*"],
}


def setup(app: Sphinx) -> None:
    """Have each page pass through :func:`complete` before it is parsed."""
    app.connect("source-read", complete)


def complete(_app: Sphinx, page: str, text: list[str]) -> None:
    """Add to a page what only the site shows; Sphinx reads ``text[0]``."""
    if page == "index":
        for caption, pages in CONTENTS.items():
            text[0] += "\n".join(
                ["\n```{toctree}", ":hidden:", ":glob:", f":caption: {caption}", "", *pages, "```\n"]
            )
    if page == "how-to/install":
        notes = (DOCS.parent / "deploy" / "INSTALL.md").read_text(encoding="utf-8")
        text[0] += "\n" + notes.partition("\n")[2]  # without the title
    # Both files are outside the site: the notes are on the page above, and the changelog stays with the code.
    text[0] = text[0].replace("(../../deploy/INSTALL.md", "(../how-to/install.md")
    text[0] = re.sub(r"\[(\w+)\]\(\.\./\.\./CHANGELOG\.md\)", r"\1", text[0])
