"""PNG files for people: a contact sheet of many images, and one image with its heat map and probabilities."""

from __future__ import annotations

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

from inspector.errors import UsageError
from inspector.records import Verdict
from inspector.reports.page import pictures
from inspector.reports.page.html import period_text
from inspector.reports.page.output import replace_file
from inspector.reports.page.period_reports import PeriodReports
from inspector.reports.page.pictures import InspectedImage, LocalArchive, NotShown
from inspector.reports.page.plot_style import COLOURS
from inspector.reports.page.words import Words, instant, printable
from inspector.times import iso

_DPI = 100
_IMAGES_PER_ROW, _IMAGE_PIXELS = 6, 190  # the longer side of an image: six fit the width of A4
_MIN_COLUMN_PIXELS = 130  # for the words below an image
_CAPTION_PIXELS = 46  # three lines below an image
_ONE_IMAGE_PIXELS = 460  # the longer side of the image that is shown alone
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
    tiles = [_with_heat(image, archive) for image in images]
    width = max([_MIN_COLUMN_PIXELS, *(tile.width for tile in tiles if not isinstance(tile, str))]) + 14
    height = _IMAGE_PIXELS + _CAPTION_PIXELS
    rows = -(-len(images) // _IMAGES_PER_ROW)
    with _drawing(_IMAGES_PER_ROW * width + 20, rows * height + 50) as figure:
        top = rows * height + 5
        _text(figure, 17, top + 17, title, size=11)
        for place, (image, tile) in enumerate(zip(images, tiles, strict=True)):
            left = 17 + place % _IMAGES_PER_ROW * width
            bottom = top - (place // _IMAGES_PER_ROW + 1) * height + _CAPTION_PIXELS
            _image(figure, tile, left, bottom)
            first, *others = (_cut(line, width // 6) for line in _caption(image, asked.zone))
            _text(figure, left, bottom - 13, first, size=6.5, bold=True)
            _text(figure, left, bottom - 38, "\n".join(others), size=6.5)
        replace_file(out, lambda file: figure.savefig(file, format="png", dpi=_DPI))
    return len(images)


def draw_inspection(image: InspectedImage, archive: LocalArchive, zone: tzinfo, out: Path) -> None:
    """Draw one image with its heat map beside it and the probability of each class below.

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
    pair = pictures.side_by_side(frame, image.heat, _ONE_IMAGE_PIXELS)
    classes = sorted(image.probabilities.items(), key=lambda item: -item[1])
    width, below = max(pair.width, 620) + 40, 19 * len(classes)
    height = pair.height + below + 120
    with _drawing(width, height) as figure:
        first, *others = _caption(image, zone)
        _text(figure, 20, height - 30, first, size=12, bold=True)
        details = _cut(" · ".join([*others, printable(image.source_name)]), width // 6)
        _text(figure, 20, height - 50, details, size=8)
        _image(figure, pair, 20, height - 65 - pair.height)
        axes = figure.add_axes((190 / width, 30 / height, 1 - 260 / width, below / height))
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        shares = [share for _, share in classes]
        axes.barh(range(len(classes)), shares, color=COLOURS["fill"], height=0.7)
        axes.set_yticks(range(len(classes)), [_cut(printable(name), 26) for name, _ in classes])
        axes.set_xticks([])
        for place, share in enumerate(shares):
            axes.text(share + 0.01, place, f"{share:.3f}", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        if image.novelty > 0:  # 0: the artifact has no novelty
            _text(figure, 190, 12, f"novelty {image.novelty:.3f}", size=8)
        replace_file(out, lambda file: figure.savefig(file, format="png", dpi=_DPI))


def _caption(image: InspectedImage, zone: tzinfo) -> list[str]:
    place = [word for word in (image.station, image.part, image.seam) if word is not None]
    at = instant(iso(image.inspected_us, zone) or "")
    return [
        f"{image.verdict} {printable(image.label)} {image.confidence:.3f}",
        f"{image.inspection} · {at}",
        printable(" · ".join(place)),
    ]


def _with_heat(image: InspectedImage, archive: LocalArchive) -> Image.Image | str:
    """The image with its heat map, or the reason why it cannot be shown."""
    frame = pictures.pixels(image, archive)
    if isinstance(frame, NotShown):
        return Words()(f"picture.{frame}", station=image.station)
    return pictures.with_heat(frame, image.heat, _IMAGE_PIXELS)


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
