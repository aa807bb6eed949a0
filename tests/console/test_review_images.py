"""What the review page shows of odd images and of names that try to be more than text."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import sqlalchemy as sa
from artifact_samples import CLASSES, compiled, picture
from catalogues import change
from consoles import Client, RunningConsole, person_at, running_console
from PIL import Image
from reviewers import on_screen
from sqlalchemy.engine import make_url
from stations import Station

from inspector.imaging import decoder
from inspector.ledger.store import migrate
from inspector.network.metadata import WeldClass

MARKUP = "<img src=x onerror=document.title='owned'>"
CLASS = "<script>document.title='owned'</script>"
FILES = ("deep.png", "grey.tif", "plain.bmp", "soft.jpg")


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Station:
    """A station with images in each format, one with a hostile name, and an artifact with a hostile class."""
    folder = tmp_path_factory.mktemp("station")
    artifact = tmp_path_factory.mktemp("artifact") / "hostile.pt"
    compiled(artifact, classes=[*CLASSES[:2], WeldClass(name=CLASS, role="defect")])
    url = make_url(f"sqlite:///{folder / 'quality.db'}")
    migrate(url)
    station = Station(
        folder, artifact, url, name_pattern=r"(?P<part>[^_]+)_S(?P<seam>[^_]+)_", thresholds={"accept": 1.0}
    )
    for seed, name in enumerate((*FILES, f"{MARKUP}_S{MARKUP}_1.png", f"{MARKUP}_S{MARKUP}_2.png")):
        pixels, content = picture(seed), io.BytesIO()
        frame = (
            Image.fromarray(pixels.astype(np.uint16) * 257) if name == "deep.png" else Image.fromarray(pixels)
        )
        frame.save(content, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name[-3:].upper()))
        station.deliver(name, content.getvalue())
    assert station.once()["inspected"] == 6
    return station


@pytest.fixture(scope="module")
def console(inspected: Station) -> Iterator[RunningConsole]:
    """The station's console."""
    with running_console(inspected) as running:
        yield running


def test_each_format_shows_the_pixels_that_were_judged(console, inspected):
    """A browser gets a JPEG as it is, and of the other files a PNG with the judged pixels."""
    anna = Client(console)
    for name in FILES:
        [(number, path)] = inspected.rows(
            f"SELECT id, archive_path FROM inspection WHERE source_name = '{name}'"
        )
        file = (inspected.archive / path).read_bytes()
        answer = anna.ask("GET", f"/image/{number}")
        assert (
            answer.headers["etag"].strip('"')
            == inspected.rows(f"SELECT sha256 FROM inspection WHERE id = {number}")[0][0]
        )
        if name == "soft.jpg":
            assert (answer.headers["content-type"], answer.body) == ("image/jpeg", file)
            continue
        assert answer.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(answer.body)) as shown:
            assert np.array_equal(np.asarray(shown), decoder.decode(file))
        small = anna.ask("GET", f"/image/{number}?small=1")
        with Image.open(io.BytesIO(small.body)) as shown:
            assert max(shown.size) == 160


def test_hostile_names_are_text(browser, console, inspected):
    """Markup in a file's name, a part, a seam, a class and a note is shown as text, and runs nowhere."""
    number, other = [
        row[0] for row in inspected.rows("SELECT id FROM inspection WHERE part IS NOT NULL ORDER BY id")
    ]
    assert Client(console, "ben").decide(number, "FAIL", label=CLASS, note=MARKUP).status == 200
    with person_at(browser, console, path=f"/review?inspection={number}") as page:
        assert on_screen(page) == number
        facts = page.inner_text("#facts")
        assert facts.count(MARKUP) >= 3
        assert facts.count(CLASS) >= 2
        page.wait_for_selector(f".strip a[href$='={other}'] img")
        page.keyboard.press("2")
        assert CLASS in page.inner_text("#flash")
        assert "owned" not in page.title()
        page.goto(f"/review?part={MARKUP}&order=queue")
        assert MARKUP in page.inner_text(".wishes")
        assert "owned" not in page.title()


def test_a_row_cannot_lead_out_of_the_archive(console, inspected):
    """A row with a path out of the archive, which no station writes, shows no other file."""
    secret = inspected.folder / "secret.png"
    [(number, path)] = inspected.rows(
        "SELECT id, archive_path FROM inspection WHERE source_name = 'soft.jpg'"
    )
    secret.write_bytes((inspected.archive / path).read_bytes())
    forged = "../secret.png", str(secret), "2026-01-01/../../secret.png"
    columns = [row[1] for row in inspected.rows("PRAGMA table_info(inspection)") if row[1] != "id"]
    for name in forged:
        values = ", ".join({"archive_path": ":path", "source_name": ":path"}.get(c, c) for c in columns)
        source = f"SELECT {values} FROM inspection WHERE id = {number}"
        copy = sa.text(f"INSERT INTO inspection ({', '.join(columns)}) {source}").bindparams(path=name)
        change(inspected.url, lambda connection, copy=copy: connection.execute(copy))
        [(added,)] = inspected.rows("SELECT max(id) FROM inspection")
        answer = Client(console).ask("GET", f"/image/{added}")
        assert (answer.status, "error" in json.loads(answer.body)) == (415, True)
