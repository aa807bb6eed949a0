"""Pictures for people: a contact sheet of many images, and one image with its heat map and probabilities."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from inspector.errors import StationError, UsageError
from inspector.records import Verdict
from inspector.reports.page import pictures
from inspector.reports.page.drawing import COLOURS
from inspector.reports.page.facts import Facts
from inspector.reports.page.html import span
from inspector.reports.page.pictures import Archived, Gone, Shot
from inspector.reports.page.words import Words, instant, plain
from inspector.times import iso

_DPI = 100
_COLUMNS, _SIDE = 6, 190  # images a row; pixels of an image's longer side: six fit the width of A4
_NARROWEST = 130  # pixels of a column, for the words below
_CAPTION = 46  # pixels of three lines below an image
_SHOWN = 460  # pixels of the one image's longer side
# Fonts with Chinese, Japanese and Korean characters, the first that is installed; matplotlib's own has none.
_EAST_ASIAN = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Source Han Sans SC",
)


def contact(facts: Facts, verdict: Verdict, limit: int, archived: Archived, out: Path) -> int:
    """Draw the latest images of a verdict, in the order of time.

    Args:
        facts: which station, part and period.
        verdict: of which images.
        limit: at most so many.
        archived: the archive to take images from.
        out: PNG to write.

    Returns:
        How many images it shows.

    Raises:
        UsageError: there is no such image, or ``out`` lies in no folder.
        StationError: it cannot be written.
    """
    column = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.REVIEW: "review"}[verdict]
    shots, n = pictures.latest(facts, verdict, limit), facts.total("summary", column)
    words, asked = Words(), facts.source
    period = span(facts.period, words)
    if not shots:
        raise UsageError(f"no data: no image with verdict {verdict} in the period {period}")
    where = [asked.station or words("page.all_stations"), *([asked.part] if asked.part else [])]
    title = plain(f"{verdict}: {len(shots)} of {words.number(n)} · {' · '.join(where)} · {period}")
    tiles = [_heated(shot, archived) for shot in shots]
    width = max([_NARROWEST, *(tile.width for tile in tiles if not isinstance(tile, str))]) + 14
    height = _SIDE + _CAPTION
    rows = -(-len(shots) // _COLUMNS)
    with _drawing(_COLUMNS * width + 20, rows * height + 50) as figure:
        top = rows * height + 5
        _text(figure, 17, top + 17, title, size=11)
        for place, (shot, tile) in enumerate(zip(shots, tiles, strict=True)):
            left = 17 + place % _COLUMNS * width
            bottom = top - (place // _COLUMNS + 1) * height + _CAPTION
            _image(figure, tile, left, bottom)
            first, *others = (_cut(line, width // 6) for line in _caption(shot, asked.zone))
            _text(figure, left, bottom - 13, first, size=6.5, bold=True)
            _text(figure, left, bottom - 38, "\n".join(others), size=6.5)
        _save(figure, out)
    return len(shots)


def show(shot: Shot, archived: Archived, zone: tzinfo, out: Path) -> None:
    """Draw one image as it was taken, beside it its heat map, below them what the network said.

    Args:
        shot: the inspection.
        archived: the archive to take the image from.
        zone: the station's time zone.
        out: PNG to write.

    Raises:
        UsageError: the image cannot be shown, or ``out`` lies in no folder.
        StationError: it cannot be written.
    """
    frame = pictures.pixels(shot, archived)
    if isinstance(frame, Gone):
        where = archived.folder / shot.archive_path
        reason = {
            Gone.ELSEWHERE: f"its image lies at station {shot.station}: ask there",
            Gone.MISSING: f"{where} is not there; ask 'weld-inspect trace --id {shot.id}'",
            Gone.CHANGED: f"{where} holds other bytes than those that were judged",
            Gone.UNREADABLE: f"{where} cannot be read",
        }[frame]
        raise UsageError(f"inspection {shot.id}: {plain(reason)}")
    pair = pictures.beside_heat(frame, shot.heat, _SHOWN)
    classes = sorted(shot.probabilities.items(), key=lambda item: -item[1])
    width, below = max(pair.width, 620) + 40, 19 * len(classes)
    height = pair.height + below + 120
    with _drawing(width, height) as figure:
        first, *others = _caption(shot, zone)
        _text(figure, 20, height - 30, first, size=12, bold=True)
        _text(
            figure, 20, height - 50, _cut(" · ".join([*others, plain(shot.source_name)]), width // 6), size=8
        )
        _image(figure, pair, 20, height - 65 - pair.height)
        axes = figure.add_axes((190 / width, 30 / height, 1 - 260 / width, below / height))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        shares = [share for _, share in classes]
        axes.barh(range(len(classes)), shares, color=COLOURS["fill"], height=0.7)
        axes.set_yticks(range(len(classes)), [_cut(plain(name), 26) for name, _ in classes])
        axes.set_xticks([])
        for place, share in enumerate(shares):
            axes.text(share + 0.01, place, f"{share:.3f}", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        if shot.novelty > 0:  # the artifact measures it
            _text(figure, 190, 12, f"novelty {shot.novelty:.3f}", size=8)
        _save(figure, out)


def _caption(shot: Shot, zone: tzinfo) -> list[str]:
    place = [word for word in (shot.station, shot.part, shot.seam) if word is not None]
    at = instant(iso(shot.inspected_us, zone) or "")
    return [
        f"{shot.verdict} {plain(shot.label)} {shot.confidence:.3f}",
        f"{shot.id} · {at}",
        plain(" · ".join(place)),
    ]


def _heated(shot: Shot, archived: Archived) -> Image.Image | str:
    """The image with its heat, or why there is none."""
    frame = pictures.pixels(shot, archived)
    if isinstance(frame, Gone):
        return Words()(f"picture.{frame}", station=shot.station)
    return pictures.heated_only(frame, shot.heat, _SIDE)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure in pixels whose text may be anything: a class named $x$, or in Chinese."""
    east_asian = [name for name in _EAST_ASIAN if name in fontManager.get_font_names()]
    fonts = ["DejaVu Sans", *east_asian[:1]]
    with (
        mpl.rc_context({"font.family": fonts, "text.parse_math": False, "font.size": 8}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", r"Glyph .* missing", UserWarning)  # a box stands for it
        yield Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)


def _image(figure: Figure, picture: Image.Image | str, left: float, bottom: float) -> None:
    if isinstance(picture, str):
        figure.text(
            (left + _SIDE / 2) / figure.bbox.width,
            (bottom + _SIDE / 2) / figure.bbox.height,
            picture,
            ha="center",
            color=COLOURS["muted"],
        )
        return
    figure.figimage(np.asarray(picture), round(left), round(bottom), origin="upper")


def _text(figure: Figure, left: float, bottom: float, text: str, *, size: float, bold: bool = False) -> None:
    figure.text(
        left / figure.bbox.width,
        bottom / figure.bbox.height,
        text,
        fontsize=size,
        color=COLOURS["ink" if bold or size > 10 else "muted"],
        fontweight="bold" if bold else "normal",
    )


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _save(figure: Figure, out: Path) -> None:
    """Put the whole file in its place."""
    if not out.parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.parent}; make it or name another")
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    try:
        figure.savefig(unfinished, format="png", dpi=_DPI)
        unfinished.replace(out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StationError(f"--out {out}: cannot be written: {error.strerror}") from None
