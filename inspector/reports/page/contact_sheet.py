"""PNG files for people: a contact sheet of many images, and one image with its heat map and thresholds."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import tzinfo
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import UsageError
from inspector.records import Judgement, Verdict
from inspector.reports.page import pictures
from inspector.reports.page.html import period_text
from inspector.reports.page.output import replace_file
from inspector.reports.page.period_reports import PeriodReports
from inspector.reports.page.pictures import InspectedImage, LocalArchive, NotShown
from inspector.reports.page.plot_style import COLOURS
from inspector.reports.page.reasons import Thresholds, explained
from inspector.reports.page.words import Words, instant, printable
from inspector.times import iso

_DPI = 100
_IMAGES_PER_ROW, _IMAGE_PIXELS = 6, 290  # the longer side of an image; one with its heat map takes two places
_LINE_PIXELS, _CHARACTER_PIXELS = 11, 6  # of the words below an image
_ONE_IMAGE_PIXELS = (
    700  # the longer side of the image that is shown alone: with its heat map it fits a screen
)
# Fonts with Chinese, Japanese and Korean characters, which matplotlib's own font lacks; the first one that is
# installed is used.
_EAST_ASIAN_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Source Han Sans SC",
)


def draw_contact_sheet(
    reports: PeriodReports, verdict: Verdict, limit: int, archive: LocalArchive, out: Path
) -> int:
    """Draw the latest images with a verdict, oldest first.

    Args:
        reports: the station, part and period to take images from.
        verdict: the verdict of the images.
        limit: the largest number of images.
        archive: the archive to read images from.
        out: the PNG to write.

    Returns:
        The number of images on the sheet.

    Raises:
        UsageError: there is no such image, or the folder of ``out`` is missing.
        StationError: the file cannot be written.
    """
    column = {Verdict.PASS: "passed", Verdict.FAIL: "failed", Verdict.REVIEW: "review"}[verdict]
    images = pictures.latest(reports, verdict, limit)
    n = reports.counting("station").total("summary", column)
    words, asked = Words(), reports.source
    period = period_text(reports.period, words)
    if not images:
        raise UsageError(f"no data: no image with verdict {verdict} in the period {period}")
    where = [asked.station or words("page.all_stations"), *([asked.part] if asked.part else [])]
    title = printable(f"{verdict}: {len(images)} of {words.number(n)} · {' · '.join(where)} · {period}")
    tiles = [_beside_heat(image, archive) for image in images]
    per_row = _IMAGES_PER_ROW if all(image.heat is None for image in images) else _IMAGES_PER_ROW // 2
    width = 14 + max([_IMAGE_PIXELS, *(tile.width for tile in tiles if not isinstance(tile, str))])
    captions = [_wrapped(_caption(image, asked.zone, words), width) for image in images]
    below = 14 + _LINE_PIXELS * max(map(len, captions))
    height = _IMAGE_PIXELS + below
    rows = -(-len(images) // per_row)
    with _drawing(per_row * width + 20, rows * height + 50) as figure:
        top = rows * height + 5
        _text(figure, 17, top + 17, title, size=11)
        for place, (tile, (first, *others)) in enumerate(zip(tiles, captions, strict=True)):
            left = 17 + place % per_row * width
            bottom = top - (place // per_row + 1) * height + below
            _image(figure, tile, left, bottom)
            _text(figure, left, bottom - 13, first, size=6.5, bold=True)
            _text(figure, left, bottom - 16 - _LINE_PIXELS * len(others), "\n".join(others), size=6.5)
        replace_file(out, lambda file: figure.savefig(file, format="png", dpi=_DPI))
    return len(images)


def draw_inspection(image: InspectedImage, archive: LocalArchive, zone: tzinfo, out: Path) -> None:
    """Draw one image with its heat map beside it, and below the probability of each class with its threshold.

    Args:
        image: the inspection.
        archive: the archive to read the image from.
        zone: the station's time zone.
        out: the PNG to write.

    Raises:
        UsageError: the image cannot be shown, or the folder of ``out`` is missing.
        StationError: the file cannot be written.
    """
    frame = pictures.pixels(image, archive)
    if isinstance(frame, NotShown):
        where = archive.folder / image.archive_path
        reason = {
            NotShown.ELSEWHERE: f"its image is at station {image.station}; run this command there",
            NotShown.MISSING: f"{where} is missing; see 'weld-inspect trace --id {image.inspection}'",
            NotShown.CHANGED: f"{where} has changed since it was judged",
            NotShown.UNREADABLE: f"{where} cannot be read",
        }[frame]
        raise UsageError(f"inspection {image.inspection}: {printable(reason)}")
    lines = [*_caption(image, zone, Words()), printable(image.source_name)]
    _draw_one(frame, image, image.thresholds, lines, out)


def draw_judgement(
    frame: NDArray[np.uint8], judgement: Judgement, thresholds: Thresholds, name: str, out: Path
) -> None:
    """Draw a judged picture that no database knows, as :func:`draw_inspection` draws an inspection.

    Args:
        frame: its pixels, uint8[h, w].
        judgement: the verdict on it.
        thresholds: those that it was judged by.
        name: of its file.
        out: the PNG to write.

    Raises:
        UsageError: the folder of ``out`` is missing.
        StationError: the file cannot be written.
    """
    lines = [_verdict_line(judgement)]
    if judgement.reason is not None:
        lines.append(explained(judgement.reason, judgement.novelty, thresholds, Words()))
    _draw_one(frame, judgement, thresholds, [*lines, printable(name)], out)


def _draw_one(
    frame: NDArray[np.uint8],
    judged: Judgement | InspectedImage,
    thresholds: Thresholds,
    lines: Sequence[str],
    out: Path,
) -> None:
    """Draw a frame and its heat map below lines of text, and below them its probabilities."""
    pair = pictures.side_by_side(frame, judged.heat, _ONE_IMAGE_PIXELS)
    shares = sorted(judged.probabilities.items(), key=lambda item: -item[1])
    width, below = max(pair.width, 620) + 40, 19 * len(shares)
    first, *others = lines
    lines = _wrapped(others, width)
    height = pair.height + below + 16 * len(lines) + 90
    with _drawing(width, height) as figure:
        _text(figure, 20, height - 30, first, size=12, bold=True)
        for number, line in enumerate(lines):
            _text(figure, 20, height - 50 - 16 * number, line, size=8)
        _image(figure, pair, 20, below + 42)
        axes = figure.add_axes((190 / width, 30 / height, 1 - 380 / width, below / height))
        _bars(axes, shares, thresholds)
        if note := _note(judged, thresholds):
            _text(figure, 190, 12, note, size=8)
        replace_file(out, lambda file: figure.savefig(file, format="png", dpi=_DPI))


def _bars(axes: Axes, shares: Sequence[tuple[str, float]], thresholds: Thresholds) -> None:
    """Draw the probability of each class as a bar, with a line at its threshold."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.barh(range(len(shares)), [share for _, share in shares], color=COLOURS["fill"], height=0.7)
    axes.set_yticks(range(len(shares)), [_cut(printable(name), 26) for name, _ in shares])
    axes.set_xticks([])
    for place, (name, share) in enumerate(shares):
        text, threshold = f"{share:.3f}", thresholds.of_class.get(name)
        if threshold is not None:
            text += f", threshold {threshold:.3f}"
            axes.vlines(threshold, place - 0.45, place + 0.45, color=COLOURS["ink"], linewidth=1.5)
        axes.text(1.02, place, text, va="center", clip_on=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)


def _note(judged: Judgement | InspectedImage, limits: Thresholds) -> str:
    """The numbers that belong to no class: the novelty, and the sum of several accepted classes."""
    parts = []
    accepted = [name for name in judged.probabilities if name in limits.accepted]
    if len(accepted) > 1:
        together = sum(judged.probabilities[name] for name in accepted)
        parts.append(f"accepted classes together {together:.3f}; their threshold is for this sum")
    if judged.novelty > 0:  # 0: the artifact has no novelty
        limit = "" if limits.novelty is None else f", limit {limits.novelty:.3f}"
        parts.append(f"{Words()('picture.novelty')} {judged.novelty:.3f}{limit}")
    return " · ".join(parts)


def _caption(image: InspectedImage, zone: tzinfo, words: Words) -> list[str]:
    """The verdict; the reason of a REVIEW; a person's verdict; the place; station and time."""
    at = instant(iso(image.inspected_us, zone) or "")
    explanation = image.explanation(words)
    return [
        _verdict_line(image),
        *([explanation] if explanation else []),
        *([said] if (said := image.said_by_person()) else []),
        " · ".join(image.place(words)),
        printable(f"{image.station} · {at}"),
    ]


def _verdict_line(judged: Judgement | InspectedImage) -> str:
    return f"{judged.verdict} {printable(judged.label)} {judged.confidence:.3f}"


def _wrapped(lines: Sequence[str], width: float) -> list[str]:
    """Lines that fit a width in pixels."""
    return [part for line in lines for part in textwrap.wrap(line, int(width) // _CHARACTER_PIXELS)]


def _beside_heat(image: InspectedImage, archive: LocalArchive) -> Image.Image | str:
    """The image and beside it its heat map, or the reason why it cannot be shown."""
    frame = pictures.pixels(image, archive)
    if isinstance(frame, NotShown):
        return Words()(f"picture.{frame}", station=image.station)
    return pictures.side_by_side(frame, image.heat, _IMAGE_PIXELS)


@contextmanager
def _drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of this size in pixels, with text of any kind, for instance Chinese or a class named $x$."""
    east_asian = [name for name in _EAST_ASIAN_FONTS if name in fontManager.get_font_names()]
    fonts = ["DejaVu Sans", *east_asian[:1]]
    with (
        mpl.rc_context({"font.family": fonts, "text.parse_math": False, "font.size": 8}),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", r"Glyph .* missing", UserWarning)  # a box is drawn instead
        yield Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)


def _image(figure: Figure, picture: Image.Image | str, left: float, bottom: float) -> None:
    if isinstance(picture, str):
        figure.text(
            (left + _IMAGE_PIXELS / 2) / figure.bbox.width,
            (bottom + _IMAGE_PIXELS / 2) / figure.bbox.height,
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
