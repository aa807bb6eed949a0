"""Write a made-up shop, its report in three languages, and docs/images/report.png (if Chromium is installed).

    .venv/bin/python docs/images/draw_report.py FOLDER

Frames are the demo's synthetic ones with a little noise. Verdicts and heat maps come from the demo's network.
Times, parts, people's verdicts and the other events are made up. In the last week more seams have defects.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa
import typer
from numpy.typing import NDArray
from PIL import Image

from inspector.ledger import database, schema, store
from inspector.network import artifact
from inspector.network.classifier import Classifier
from inspector.records import Arrival, FileStamp, Inspected, NameParts, Quarantined, SourceFile, Timings
from inspector.reports.page import html
from inspector.reports.page.output import write_page
from inspector.reports.page.period import Period
from inspector.reports.page.period_reports import Source
from inspector.reports.page.pictures import LocalArchive
from inspector.times import local_day_and_shift
from trainer.synthetic.frames import CLASSES, frames

HERE = Path(__file__).resolve().parent
ARTIFACT = HERE.parents[1] / "deploy" / "demo" / "weldnet-synthetic.pt"
BERLIN = ZoneInfo("Europe/Berlin")
SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}
FIRST, DAYS = datetime(2026, 3, 2, 6, 10, tzinfo=BERLIN), 28
SEED, POOL = 7, 240


def main(folder: Annotated[Path, typer.Argument(help="is made; some 150 MB")]) -> None:
    """Write the shop, then the report of its last fortnight."""
    folder.mkdir(parents=True)
    url = f"sqlite:///{folder / 'quality.db'}"
    store.migrate(url)
    random = np.random.default_rng(SEED)
    with store.Store.open(url, "cell-3", seam_gap_s=300) as ledger:
        opened = artifact.open(ARTIFACT)
        force = ledger.in_force(
            metadata=opened.metadata.to_json(),
            artifact_sha256=opened.sha256,
            name=opened.metadata.name,
            version=opened.metadata.version,
            settings_json="{}",
        )
        for weld in welds(Classifier(opened), random, folder / "archive"):
            ledger.record(weld, force)
    engine = database.engine(url)
    with database.transaction(database.immediate(engine)) as connection:
        people(connection, random)
    engine.dispose()
    asked = Period.from_options("2026-03-16", "2026-03-30", None, BERLIN, datetime.now(UTC))
    source = Source(url, BERLIN, "cell-3", reference=asked.before)
    for language in ("en", "de", "zh"):
        page = html.quality_report(
            source,
            asked,
            LocalArchive("cell-3", folder / "archive"),
            language,
            datetime(2026, 3, 30, 6, tzinfo=BERLIN),
        )
        write_page(folder / f"report-{language}.html", page.html)
    photograph(folder / "report-en.html", HERE / "report.png")


def welds(
    classifier: Classifier, random: np.random.Generator, archive: Path
) -> Iterator[list[Inspected | Quarantined]]:
    """Each weld's frames as the station would record them."""
    pool: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
    for frame in frames(POOL, SEED):
        pool[CLASSES[frame.label]].append(frame.pixels)
    for day in range(DAYS):
        for slot in range(9 if (FIRST + timedelta(days=day)).weekday() < 5 else 0):
            at = FIRST + timedelta(days=day, minutes=150 * slot + float(random.uniform(0, 40)))
            part = f"P-{day:02}{slot:02}"
            bad = random.random() < (0.4 if day >= 21 else 0.15)
            defect = str(random.choice(CLASSES[1:], p=[0.1, 0.2, 0.4, 0.2, 0.1])) if bad else None
            first, n = int(random.integers(0, 6)), int(random.integers(9, 14))
            items: list[Inspected | Quarantined] = []
            for number in range(n):
                label = defect if defect and first <= number < first + 4 else CLASSES[0]
                pixels = pool[label][int(random.integers(len(pool[label])))]
                noisy = np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
                name = f"cam1_{part}_S1_{number:03}.jpg"
                items.append(
                    judged(classifier, noisy, name, part, at + timedelta(seconds=2 * number), random, archive)
                )
            if random.random() < 0.06:
                items.append(unreadable(f"cam1_{part}_S1_999.jpg", at + timedelta(minutes=1)))
            yield items


def judged(  # noqa: PLR0917
    classifier: Classifier,
    pixels: NDArray[np.uint8],
    name: str,
    part: str,
    at: datetime,
    random: np.random.Generator,
    archive: Path,
) -> Inspected:
    """One frame: encoded, judged for real, put into the archive."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    with Image.open(buffer) as again:
        seen = np.array(again.convert("L"))
    judgement = classifier.judge([classifier.prepare(seen)], [None])[0]
    day, shift, shift_day = local_day_and_shift(us(at), BERLIN, SHIFTS)
    path = f"{day}/{judgement.verdict}/{name}"
    (archive / path).parent.mkdir(parents=True, exist_ok=True)
    (archive / path).write_bytes(buffer.getvalue())
    wait, decode, infer = random.lognormal([1.5, 2, 2.7], 0.35).tolist()
    return Inspected(
        arrival=Arrival(Path(name), name, us(at), 0.0),
        source=SourceFile(stamp(len(buffer.getvalue())), hashlib.sha256(buffer.getvalue()).hexdigest()),
        name=NameParts("cam1", part, "S1"),
        judgement=judgement,
        timings=Timings(wait, decode, infer, wait + decode + infer + 2, batch_size=1),
        local_day=day,
        shift=shift,
        shift_day=shift_day,
        inspected_us=us(at) + 1_000_000,
        final_path=path,
    )


def unreadable(name: str, at: datetime) -> Quarantined:
    """A file that broke off."""
    day, shift, shift_day = local_day_and_shift(us(at), BERLIN, SHIFTS)
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Quarantined(
        arrival=Arrival(Path(name), name, us(at), 0.0),
        source=SourceFile(stamp(1000), digest),
        reason="truncated",
        detail="ends before its own end mark",
        shift=shift,
        shift_day=shift_day,
        recorded_us=us(at) + 10_000_000,
        final_path=f"{day}/truncated/{name}",
    )


def people(connection: sa.Connection, random: np.random.Generator) -> None:
    """They look at most of what failed and at a sample of what passed; the station starts and stops."""
    t = schema.inspection
    images = connection.execute(
        sa.select(t.c.id, t.c.verdict, t.c.label, t.c.inspected_us).order_by(t.c.id)
    ).all()
    passed = [image for image in images if image.verdict == "PASS"]
    sample = [image for image in passed if random.random() < 0.12]
    rows: list[dict[str, Any]] = []
    for image in [*sample, *(i for i in images if i.verdict != "PASS" and random.random() < 0.7)]:
        agrees = random.random() < (0.97 if image.verdict == "PASS" else 0.9)
        failed = (image.verdict != "PASS") == agrees
        rows.append(
            {
                "inspection_id": image.id,
                "reviewer": "mueller",
                "verdict": "FAIL" if failed else "PASS",
                "label": image.label if failed == (image.label != CLASSES[0]) else None,
                "reviewed_us": image.inspected_us + 3_600_000_000,
            }
        )
    connection.execute(schema.review.insert(), rows)
    drawn = [
        {"inspection_id": i.id, "seed": 1, "population": len(passed), "drawn_us": i.inspected_us}
        for i in sample
    ]
    connection.execute(schema.audit_sample.insert(), drawn)
    events = [
        {
            "station_id": 1,
            "kind": kind,
            "detail": kind,
            "at_us": us(FIRST + timedelta(days=7 * week, hours=hour)),
        }
        for week in range(4)
        for kind, hour in (("start", -0.2), ("outage", 30), ("stop", 120))
    ]
    connection.execute(schema.event.insert(), events)


def photograph(page: Path, out: Path) -> None:
    """Three places of the page side by side, as a PNG of few colours."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        typer.echo("no Chromium here: no picture")
        return
    flags = (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
    )
    more = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
    places = []
    for first in ("summary", "p_chart", "images"):
        # A screenshot begins at the top of the page, so hide everything above this section.
        rest = "" if first == "summary" else f"body > header, main > :has(~ #{first}) {{ display: none; }}"
        part, shot = page.with_name("part.html"), page.with_name("shot.png")
        part.write_text(
            page.read_text(encoding="utf-8").replace("</style>", f"{rest}</style>", 1), encoding="utf-8"
        )
        own = (
            f"--user-data-dir={page.with_name('profile')}",
            "--window-size=1040,1280",
            f"--screenshot={shot}",
        )
        subprocess.run([browser, *flags, *more, *own, part.as_uri()], check=True, capture_output=True)  # noqa: S603
        with Image.open(shot) as picture:
            places.append(picture.convert("RGB").resize((624, 768), Image.Resampling.LANCZOS))
    board = Image.new("RGB", (3 * 624 + 2 * 6, 768), "#56606b")
    for number, picture in enumerate(places):
        board.paste(picture, (number * 630, 0))
    board.quantize(256, Image.Quantize.FASTOCTREE).save(out, optimize=True)


def stamp(size: int) -> FileStamp:
    """Of a file that was never on a disk."""
    return FileStamp(device=1, inode=1, size=size, mtime_ns=0, ctime_ns=0)


def us(at: datetime) -> int:
    """UTC epoch microseconds."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


if __name__ == "__main__":
    typer.run(main)
