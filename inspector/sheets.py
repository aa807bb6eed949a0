"""Pictures for people: a contact sheet of many images, and one image with its heat map and probabilities."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from datetime import tzinfo
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from PIL import Image

from inspector import pictures
from inspector.drawing import COLOURS
from inspector.errors import StationError, UsageError
from inspector.facts import Facts
from inspector.html import span
from inspector.pictures import Archived, Gone, Shot
from inspector.records import Verdict
from inspector.reports import iso
from inspector.words import Words, instant, plain

_DPI = 100
_COLUMNS, _SIDE = 6, 190  # images a row; pixels of an image's longer side: six fit the width of A4
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
    words = Words()
    period = span(facts.period, words)
    if not shots:
        raise UsageError(f"no data: no image with verdict {verdict} in the period {period}")
    asked = [
        facts.source.station or words("page.all_stations"),
        *([facts.source.part] if facts.source.part else []),
    ]
    title = f"{verdict}: {len(shots)} of {words.number(n)} · {' · '.join(asked)} · {period}"
    rows = -(-len(shots) // _COLUMNS)
    cell = _SIDE + 14, _SIDE + _CAPTION
    with _drawing():
        figure = Figure(figsize=((_COLUMNS * cell[0] + 20) / _DPI, (rows * cell[1] + 50) / _DPI), dpi=_DPI)
        height = figure.bbox.height
        _text(figure, 17, height - 28, title, size=11)
        for place, shot in enumerate(shots):
            left = 17 + place % _COLUMNS * cell[0]
            bottom = height - 45 - (place // _COLUMNS + 1) * cell[1]
            _image(figure, _heated(shot, archived, _SIDE), left, bottom + _CAPTION)
            for line, text in enumerate(_caption(shot, facts.source.zone)):
                _text(
                    figure,
                    left,
                    bottom + _CAPTION - 13 * (line + 1),
                    _cut(text, 34),
                    size=6.5,
                    first=not line,
                )
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
    with _drawing():
        width = max(pair.width, 620) + 40
        below = 19 * len(classes)
        figure = Figure(figsize=(width / _DPI, (pair.height + below + 150) / _DPI), dpi=_DPI)
        height = figure.bbox.height
        first, *others = _caption(shot, zone)
        _text(figure, 20, height - 30, f"{shot.id}: {first}", size=12, first=True)
        _text(
            figure, 20, height - 50, _cut("   ".join([*others, f"novelty {shot.novelty:.3f}"]), 110), size=8
        )
        _image(figure, pair, 20, height - 65 - pair.height)
        axes = figure.add_axes((190 / width, 35 / height, 1 - 260 / width, below / height))
        shares = [share for _, share in classes]
        axes.barh(range(len(classes)), shares, color=COLOURS["fill"], height=0.7)
        axes.set_yticks(range(len(classes)), [_cut(plain(name), 26) for name, _ in classes])
        for place, share in enumerate(shares):
            axes.text(share + 0.01, place, f"{share:.3f}", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        _save(figure, out)


def _caption(shot: Shot, zone: tzinfo) -> list[str]:
    place = [word for word in (shot.station, shot.part, shot.seam) if word is not None]
    at = instant(iso(shot.inspected_us, zone) or "")
    return [
        f"{shot.verdict} {plain(shot.label)} {shot.confidence:.3f}",
        f"{shot.id} · {at}",
        plain(" · ".join(place)),
    ]


def _heated(shot: Shot, archived: Archived, side: int) -> Image.Image | str:
    """The image with its heat, or why there is none."""
    frame = pictures.pixels(shot, archived)
    if isinstance(frame, Gone):
        return Words()(f"picture.{frame}", station=shot.station)
    return pictures.heated_only(frame, shot.heat, side)


def _drawing() -> AbstractContextManager[None]:
    """How text looks: a class may be named $x$, or in Chinese."""
    fonts = ["DejaVu Sans", *[name for name in _EAST_ASIAN if name in fontManager.get_font_names()][:1]]
    return mpl.rc_context({"font.family": fonts, "text.parse_math": False, "font.size": 8})


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


def _text(figure: Figure, left: float, bottom: float, text: str, *, size: float, first: bool = False) -> None:
    figure.text(
        left / figure.bbox.width,
        bottom / figure.bbox.height,
        plain(text),
        fontsize=size,
        color=COLOURS["ink" if first or size > 10 else "muted"],
        fontweight="bold" if first else "normal",
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
