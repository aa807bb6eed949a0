"""Images for people: the right ones, heat in the right place, and only files that have not changed."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_samples import SECOND_US, START_US, in_force, inspected
from numpy.typing import NDArray
from PIL import Image
from stations import frame
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.ledger.store import Store, migrate
from inspector.records import Inspected, Verdict
from inspector.reports.page import contact_sheet, pictures
from inspector.reports.page.period import Period
from inspector.reports.page.period_reports import PeriodReports, Source
from inspector.reports.page.pictures import Choice, LocalArchive, NotShown

NOW = datetime(2026, 1, 6, tzinfo=UTC)


class Shop:
    """A station ``cell-1`` with real images in its archive."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder / 'quality.db'}"
        self.archive = LocalArchive("cell-1", folder / "archive")
        self.config = folder / "config.yaml"
        self.config.write_text("station: cell-1\n")
        migrate(self.url)
        self.seconds = 0

    def put(self, name: str, *, station: str = "cell-1", novelty: float = 0.25, **others: Any) -> Path:
        """Record one image and archive it."""
        self.seconds += 1
        buffer = io.BytesIO()
        Image.fromarray(frame(self.seconds)).save(buffer, "PNG")
        item: Inspected = inspected(name, seen_us=START_US + self.seconds * SECOND_US, **others)
        source = dataclasses.replace(item.source, sha256=hashlib.sha256(buffer.getvalue()).hexdigest())
        heat = None if item.judgement.heat is None else np.full((4, 3), 200, np.uint8)
        judgement = dataclasses.replace(item.judgement, novelty=novelty, heat=heat)
        with Store.open(self.url, station, seam_gap_s=300) as store:
            store.record([dataclasses.replace(item, source=source, judgement=judgement)], in_force(store))
        path = self.archive.folder / item.final_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        return path

    def reports(self, **asked: str | None) -> PeriodReports:
        """The reports about everything judged until now."""
        return PeriodReports(Source(self.url, UTC, **asked), Period.from_options(None, None, None, UTC, NOW))  # type: ignore[arg-type]

    def chosen(self, choice: Choice, count: int = 8, **asked: str | None) -> list[str]:
        """The names of the images of a choice."""
        return [image.source_name for image in pictures.choose(self.reports(**asked), choice, count)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """An empty shop."""
    return Shop(tmp_path)


# --- which -----------------------------------------------------------------------------------------------


def test_the_choices_are_by_confidence_and_novelty(shop: Shop):
    """The most certain are of FAIL, the least certain of all, the most novel of those with a novelty."""
    shop.put("pass", confidence=0.99, novelty=0.5)
    shop.put("sure", verdict=Verdict.FAIL, confidence=0.98, novelty=0.0)
    shop.put("surer", verdict=Verdict.FAIL, confidence=0.985, novelty=0.0)
    shop.put("unsure", verdict=Verdict.REVIEW, confidence=0.4, novelty=0.9)
    assert shop.chosen(Choice.MOST_CERTAIN) == ["surer", "sure"]
    assert shop.chosen(Choice.LEAST_CERTAIN, 2) == ["unsure", "sure"]
    assert shop.chosen(Choice.MOST_NOVEL) == ["unsure", "pass"]


def test_a_weld_is_shown_once(shop: Shop):
    """One frame is shown per pass over a seam; images without a part are shown one by one."""
    for n in range(3):
        shop.put(f"a{n}", part="A", seam="1", verdict=Verdict.FAIL, confidence=0.9 - n / 100)
        shop.put(f"b{n}", part="B", verdict=Verdict.FAIL, confidence=0.8 - n / 100)
        shop.put(f"c{n}", verdict=Verdict.FAIL, confidence=0.7 - n / 100)
    assert shop.chosen(Choice.MOST_CERTAIN) == ["a0", "b0", "c0", "c1", "c2"]
    assert shop.chosen(Choice.MOST_CERTAIN, 2) == ["a0", "b0"]


def test_the_choice_keeps_to_station_part_and_period(shop: Shop):
    """Only images that the reports count are shown."""
    shop.put("here", part="A")
    shop.put("there", part="A", station="cell-2")
    shop.put("other", part="B")
    assert set(shop.chosen(Choice.LEAST_CERTAIN)) == {"here", "there", "other"}
    assert set(shop.chosen(Choice.LEAST_CERTAIN, part="A")) == {"here", "there"}
    assert shop.chosen(Choice.LEAST_CERTAIN, part="A", station="cell-1") == ["here"]
    first = datetime.fromtimestamp(START_US / 1e6 + 3, UTC)  # judged a second after it was seen
    reports = PeriodReports(
        Source(shop.url, UTC), Period.from_options(first.isoformat(), None, None, UTC, NOW)
    )
    assert {image.source_name for image in pictures.choose(reports, Choice.LEAST_CERTAIN, 8)} == {
        "there",
        "other",
    }


# --- pixels ----------------------------------------------------------------------------------------------


def test_only_the_bytes_that_were_judged_are_shown(shop: Shop):
    """The judged pixels are shown; a missing, changed or broken file and another station's give a reason."""
    path = shop.put("a.png")
    shop.put("b.png", station="cell-2")
    mine, theirs = pictures.by_inspection(shop.url, 1), pictures.by_inspection(shop.url, 2)
    seen = pictures.pixels(mine, shop.archive)
    assert isinstance(seen, np.ndarray)
    assert np.array_equal(seen, frame(1))
    assert pictures.pixels(theirs, shop.archive) is NotShown.ELSEWHERE
    assert (
        pictures.pixels(dataclasses.replace(mine, archive_path="2026-01-05"), shop.archive)
        is NotShown.UNREADABLE
    )
    path.write_bytes(path.read_bytes() + b"x")
    assert pictures.pixels(mine, shop.archive) is NotShown.CHANGED
    path.unlink()
    assert pictures.pixels(mine, shop.archive) is NotShown.MISSING
    os.mkfifo(path)  # a pipe without a writer: reading must not wait
    assert pictures.pixels(mine, shop.archive) is NotShown.UNREADABLE


def test_the_heat_is_painted_where_it_is():
    """The picture beside the frame is coloured and outlined where the heat is, and nowhere else."""
    grey: NDArray[np.uint8] = np.full((200, 100), 90, np.uint8)
    heat = np.zeros((20, 10), np.uint8)
    heat[:6] = 255
    pair = np.asarray(pictures.side_by_side(grey, heat, 200)).astype(int)
    left, right = pair[:, :100], pair[:, -100:]
    assert pair.shape == (200, 203, 3)
    assert (left == 90).all()
    assert (right[100:] == 90).all()
    assert (np.ptp(right[:40], axis=2) > 30).all()
    assert {0, 255} <= set(right[50:80, 50].sum(axis=1) // 3)  # the outline reads on any ground
    assert pictures.side_by_side(grey, None, 200).size == (100, 200)


def test_any_heat_and_frame_can_be_drawn():
    """A flat heat map, a heat map of one cell and the smallest frame that is inspected are drawn."""
    for heat in (np.zeros((2, 3), np.uint8), np.full((1, 1), 255, np.uint8)):
        assert pictures.with_heat(np.zeros((8, 8), np.uint8), heat, 50).size == (50, 50)


# --- contact sheets and single images --------------------------------------------------------------------


def run(shop: Shop, *words: object) -> tuple[int, str]:
    """A command's status and its output or error line."""
    done = CliRunner().invoke(app, [*map(str, words), "--config", str(shop.config)])
    if isinstance(done.exception, StationError):
        return done.exception.exit_status, str(done.exception)
    return done.exit_code, done.output


def test_a_contact_sheet_shows_the_latest_of_a_verdict(shop: Shop, tmp_path: Path):
    """Six images fill a row, more make more rows, and a missing image leaves its place empty."""
    for n in range(8):
        path = shop.put(f"{n}.png", verdict=Verdict.FAIL, label="焊缝 $x^2$", part="\u202eP\n1")
    path.unlink()
    out = tmp_path / "sheet.png"
    sizes = []
    for limit, shown in ((6, 6), (600, 8)):
        assert run(shop, "report", "contact", "--limit", limit, "--out", out) == (
            0,
            f"{out}: {shown} images\n",
        )
        with Image.open(out) as sheet:
            sizes.append(sheet.size)
            colours = np.ptp(np.asarray(sheet.convert("RGB")).astype(int), axis=2)
    assert sizes[0][0] == sizes[1][0]
    assert sizes[0][1] < sizes[1][1]
    assert (colours > 30).mean() > 0.1
    assert [image.source_name for image in pictures.latest(shop.reports(), Verdict.FAIL, 2)] == [
        "6.png",
        "7.png",
    ]


def test_a_contact_sheet_shows_the_plain_frame_beside_the_heat_map(shop: Shop, tmp_path: Path):
    """The frame of a FAIL is grey as it was taken, and coloured beside that; a PASS has its frame alone."""
    shop.put("a.png", verdict=Verdict.FAIL)
    shop.put("b.png")
    out = tmp_path / "sheet.png"
    for verdict, is_beside in (("FAIL", True), ("PASS", False)):
        assert run(shop, "report", "contact", "--verdict", verdict, "--out", out)[0] == 0
        with Image.open(out) as sheet:
            coloured = np.ptp(np.asarray(sheet.convert("RGB")).astype(int), axis=2) > 30
        assert coloured[60:320, 20:270].mean() < 0.01
        assert (coloured[60:320, 285:530].mean() > 0.5) == is_beside


def test_the_report_enlarges_an_image_without_a_script(shop: Shop, tmp_path: Path):
    """Each image is the label of a checkbox, whose style fills the window with it; captions name the weld."""
    shop.put("a.png", verdict=Verdict.REVIEW, part="P-7", seam="3")
    out = tmp_path / "report.html"
    assert run(shop, "report", "html", "--out", out)[0] == 0
    page = out.read_text(encoding="utf-8")
    zoom = r'<label class="zoom"><input type="checkbox" aria-label="enlarge inspection 1"><img src="data:'
    assert len(re.findall(zoom, page)) == 2  # among the least certain and the most novel
    assert ".zoom input:checked + img { position: fixed; inset: 0;" in page
    assert "inspection 1 · part P-7 · seam 3 · pass 1" in page
    assert "uncertain: no class reaches its threshold" in page
    assert "<script" not in page


def test_one_image_is_shown_with_its_probabilities(shop: Shop, tmp_path: Path):
    """A FAIL with heat and a PASS without are drawn; the picture with the heat map is wider."""
    shop.put("a.png", verdict=Verdict.FAIL, label="$x$ 焊")
    shop.put("b.png")
    widths = []
    for row in (1, 2):
        out = tmp_path / f"{row}.png"
        assert run(shop, "show", row, "--out", out) == (0, f"{out}\n")
        with Image.open(out) as shown:
            widths.append(shown.width)
    assert widths[0] > widths[1]


def test_an_image_that_cannot_be_shown_is_one_line(shop: Shop, tmp_path: Path):
    """An unknown inspection, no image of the verdict, a missing file or folder: each is one line."""
    path = shop.put("a.png")
    nowhere = tmp_path / "no" / "x.png"
    for words, said in (
        (["show", 7], "no inspection 7"),
        (["show", 2**70], "no inspection"),
        (["show", 1, "--out", nowhere], "there is no folder"),
        (["report", "contact", "--out", tmp_path / "x.png"], "no data: no image with verdict FAIL"),
        (["report", "contact", "--verdict", "MAYBE", "--out", nowhere], "PASS, FAIL or REVIEW"),
        (["report", "contact", "--verdict", "pass", "--out", nowhere], "there is no folder"),
        (["report", "html", "--out", nowhere], "there is no folder"),
        (["report", "html", "--out", nowhere, "--days", 3, "--since", "2026-01-01"], "--days is instead of"),
        (["report", "html", "--out", tmp_path], "is a folder; name a file in it"),
    ):
        status, line = run(shop, *words)
        assert status in (1, 2)
        assert said in line
        assert "\n" not in line
    path.unlink()
    with pytest.raises(UsageError, match="trace --id 1"):
        contact_sheet.draw_inspection(
            pictures.by_inspection(shop.url, 1), shop.archive, UTC, tmp_path / "x.png"
        )
    assert not list(tmp_path.glob("**/*unfinished*"))


def test_a_report_goes_to_its_file_or_to_a_folder(shop: Shop, tmp_path: Path):
    """The command writes one file, or with --keep a folder of dated reports with an index."""
    shop.put("a.png")
    out = tmp_path / "report.html"
    assert run(shop, "report", "html", "--out", out, "--language", "de")[0] == 0
    assert "Qualitätsbericht" in out.read_text(encoding="utf-8")
    folder = tmp_path / "reports"
    before = datetime.now(UTC).date()
    assert run(shop, "report", "html", "--out", folder, "--keep", 3, "--days", 7)[0] == 0
    yesterdays = {day - timedelta(days=1) for day in (before, datetime.now(UTC).date())}  # midnight may come
    index, report = sorted(file.name for file in folder.iterdir())
    assert index == "index.html"
    assert report in {f"quality-{day}.html" for day in yesterdays}
