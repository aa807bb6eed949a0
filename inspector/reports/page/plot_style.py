"""The look of the plots: colours, axes placed in inches, and SVG that a page can contain many times."""

from __future__ import annotations

import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from inspector.reports.page.words import Words, printable

# The page uses the same colours. Each of TEXT_COLOURS has a contrast of at least 4.5 on each of
# BACKGROUND_COLOURS.
COLOURS = {
    "ink": "#1b2026",
    "muted": "#56606b",
    "accent": "#0a4d8c",
    "alarm": "#a63d00",
    "paper": "#ffffff",
    "tint": "#f3f5f7",
    "rule": "#ccd3da",
    "fill": "#b9cbdd",
}
# The same on a screen that prefers dark pages. Paper keeps the colours above.
DARK_COLOURS = {
    "ink": "#e8eaec",
    "muted": "#a3abb3",
    "accent": "#8fc3e8",
    "alarm": "#ff9d6e",
    "paper": "#14171a",
    "tint": "#1f2429",
    "rule": "#353b41",
    "fill": "#3d5873",
}
TEXT_COLOURS, BACKGROUND_COLOURS = ("ink", "muted", "accent", "alarm"), ("paper", "tint")
COLUMN_INCHES, HALF_COLUMN_INCHES = 8.6, 4.15  # widths on the page, which scales both alike
FONT_POINTS = 8.5  # points of text: 7 or more on A4
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be named $x$
    "font.size": FONT_POINTS,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["muted"],
    "axes.linewidth": 0.6,
    "axes.labelcolor": COLOURS["muted"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "ytick.color": COLOURS["muted"],
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": COLOURS["rule"],
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "path.simplify_threshold": 0.2,
}
_NAMES = {colour: f"var(--{name})" for name, colour in COLOURS.items()}
_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def new_figure(width: float, height: float) -> Iterator[tuple[Figure, Callable[[str, str], str]]]:
    """Yield a figure of this size in inches, and a function that turns it into SVG.

    The function takes a name that is unique in the page, and the alternative text.
    """
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # The browser has the glyphs that are missing in matplotlib's own font.
        warnings.filterwarnings("ignore", r"Glyph .* missing", UserWarning)
        figure = Figure(figsize=(width, height))
        figure.patch.set_visible(False)
        yield figure, lambda key, alt: _svg(figure, key, alt)


def add_axes(figure: Figure, left: float, right: float, height: float, top: float) -> Axes:
    """Add axes, placed by their distances from the edges of the figure in inches."""
    width, whole = figure.get_size_inches()
    axes = figure.add_axes(
        (left / width, 1 - (top + height) / whole, 1 - (left + right) / width, height / whole)
    )
    axes.patch.set_visible(False)
    return axes


def percent_axis(axes: Axes, which: Literal["x", "y"], words: Words, *, low: float, high: float) -> None:
    """Make an axis show ``low`` to ``high`` in percent, with a margin."""
    span = (high - low) or 0.02
    first, last = max(0, low - 0.12 * span) if low else 0, min(1.03, high + 0.08 * span)
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(first, last)
    digits = 0 if last - first > 0.04 else 1
    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: words.share(value, digits) if value <= 1.0001 else "")
    axes.grid(axis=which)
    axes.set_axisbelow(True)


def label_ticks(axes: Axes, labels: Sequence[str], most: int = 12) -> None:
    """Write at most so many of the labels below the axis, evenly spaced; a dozen fits the column's width."""
    step = -(-len(labels) // most)
    places = list(range(0, len(labels), step))
    axes.set_xticks(places, [labels[place].replace(" ", "\n", 1) for place in places])
    axes.set_xlim(-0.7, len(labels) - 0.3)


def write_beside(axes: Axes, height: float, text: str) -> None:
    """Write text to the right of the axes, at a height in their units."""
    axes.annotate(
        text,
        (1, height),
        (5, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        fontsize=FONT_POINTS - 0.5,
        color=COLOURS["muted"],
        annotation_clip=False,
    )


def spread_apart(heights: Sequence[float], least: float) -> list[float]:
    """One or two heights, moved apart until the texts at them do not overlap."""
    if len(heights) < 2 or abs(heights[0] - heights[1]) >= least:
        return list(heights)
    middle, way = sum(heights) / 2, 1 if heights[0] > heights[1] else -1
    return [middle + way * least / 2, middle - way * least / 2]


def text_inches(text: str) -> float:
    """The approximate width of a text: the browser's font is not known here."""
    return sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.58 for c in text) * FONT_POINTS / 72


def shorten(text: str, most: float) -> str:
    """The text, shortened to about this many inches."""
    if text_inches(text) <= most:
        return text
    while text and text_inches(text + "…") > most:
        text = text[:-1]
    return text + "…"


# --- SVG -------------------------------------------------------------------------------------------------


def _svg(figure: Figure, key: str, alt: str) -> str:
    """The figure as one SVG element: its names are unique in the page; colours and fonts are the page's."""
    alt, buffer = printable(alt), io.BytesIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context({"svg.hashsalt": key}):  # so that the same rows give the same file
        figure.savefig(buffer, format="svg", metadata=metadata)
    root = ET.fromstring(buffer.getvalue())  # noqa: S314 - matplotlib has just written it
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}:
                parent.remove(child)
    used = set(re.findall(r"#([\w-]+)", buffer.getvalue().decode()))
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        _tidy(element, key, used)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": alt, "class": "plot"}
    return ET.tostring(root, encoding="unicode")


def _tidy(element: ET.Element, key: str, used: set[str]) -> None:
    name = element.attrib.pop("id", None)
    if name in used:
        element.set("id", f"{key}-{name}")
    link = element.attrib.pop(_LINK, None)
    if link:
        element.set("href", link.replace("#", f"#{key}-"))
    for attribute, value in element.attrib.items():
        tidy = value.replace("url(#", f"url(#{key}-")
        if attribute in {"d", "points", "transform", "x", "y"}:
            tidy = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", tidy)
        if attribute == "style":
            tidy = re.sub(r"font-family:[^;]*;?\s*", "", tidy)  # the page sets it
            tidy = re.sub(r"\bfont: ([\d.]+px)[^;]*", r"font-size: \1", tidy)
            tidy = re.sub(r"#[0-9a-f]{6}", lambda colour: _NAMES.get(colour[0], colour[0]), tidy)
        element.set(attribute, tidy)
