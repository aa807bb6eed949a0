"""Send thousands of damaged images through a real station: no crash, all accounted for, none judged in part.

    make fuzz
    python benchmarks/fuzz.py --count 500 --seed 7      a short run with the same files each time

The files are dropped into the folder of a real daemon, which must survive all of them. Then the audit of
``make chaos`` compares the sent files with the ledger and the disk. The archived file of every verdict is
decoded again by the rules of its own format (``missing_pixels.py``), and all its pixels must be there. Its
grey values are compared with those of a decoder that the station does not use (``second_decoders.py``). Sound
files of unusual kinds go along (``unusual_files.py``): each must have its own outcome, and its own grey
values if it is judged. At the end the grey values of a sample of TIFF layouts are compared with tifffile's.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import audit
import numpy as np
import typer
from camera import Camera, Frame, renamed, wait_for_camera
from missing_pixels import missing_pixels
from mutations import SUFFIXES, mutants
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rig import Rig, databases, progress_bars, tiny_artifact, work_folder  # lets the tests' parts be found
from second_decoders import grey_levels_off
from tiff_layouts import grey_by_tifffile, layouts
from unusual_files import GREY, unusual

from inspector.errors import ImageError
from inspector.imaging import decoder

console = Console(highlight=False, soft_wrap=True)


def main(
    count: Annotated[int, typer.Option(min=1, help="number of damaged files")] = 12_000,
    seed: Annotated[int | None, typer.Option(help="default: the time")] = None,
    artifact: Annotated[
        Path | None, typer.Option(help="default: the tests' tiny artifact, compiled now")
    ] = None,
) -> None:
    """Damage files, feed them to a station, and check the results."""
    seed = int(time.time()) if seed is None else seed
    console.print(f"seed {seed}: {count} files")
    with work_folder("fuzz") as folder, databases("sqlite", folder) as url:
        judge = artifact or tiny_artifact(folder / "tiny.pt")
        with Rig(
            folder / "station", judge.resolve(), url, give_up_s=0.2
        ) as rig:  # no file is still being written
            began = time.monotonic()
            kinds, valid, sent = feed(rig, count, seed)
            seconds = time.monotonic() - began
            problems = [f"{kind}: {line}" for kind, line in audit.of_an_idle_station(rig, sent).problems]
            problems += [f"in part: {line}" for line in judged_in_part(rig)]
            if said := [line for line in rig.log.read_text().splitlines() if "Traceback" in line]:
                problems.append(f"{len(said)} tracebacks in {rig.log}")
            problems += [f"undamaged: {line}" for line in wrongly_taken(rig)]
            compared, wrong = compared_with_second_decoders(rig, valid)
            problems += [f"grey values: {line}" for line in wrong]
            print_outcomes(rig, kinds, compared)
        problems += [f"grey values: {line}" for line in wrong_layouts(max(count // 10, 100), seed)]
        console.print(f"{count / seconds:.0f} files per second; {len(problems)} problems")
        for line in problems[:40]:
            console.print(line, markup=False)
        if problems:
            raise SystemExit(f"again: python benchmarks/fuzz.py --count {count} --seed {seed}; see {folder}")


def feed(rig: Rig, count: int, seed: int) -> tuple[dict[str, str], dict[str, bytes], list]:
    """Drop all mutants, wait, and stop the daemon; kinds and valid files by name, and the deliveries."""
    kinds: dict[str, str] = {}
    valid: dict[str, bytes] = {}

    def source() -> Iterator[Frame]:
        for file in unusual():
            form = file.name.rpartition(".")[2]
            kinds[file.name] = f"none ({form if form in SUFFIXES.values() else 'other'})"
            yield file.name, file.content
        for mutant in mutants(count, seed):
            kinds[mutant.name] = mutant.kind
            if mutant.valid:
                valid[mutant.name] = mutant.valid
            yield mutant.name, mutant.content

    with progress_bars(console) as progress:
        task = progress.add_task("damaged files", total=count + len(unusual()))
        rig.launch_ready()
        pace = {"waiting": 1000, "per_second": 100_000}
        with Camera(rig.drop, source(), write=renamed, **pace) as camera:
            wait_for_camera(camera, rig, lambda done: progress.update(task, completed=done))
        progress.update(task, completed=count + len(unusual()))
    rig.stop()
    return kinds, valid, camera.sent


def judged_in_part(rig: Rig) -> list[str]:
    """Verdicts on files whose format says that pixels are missing.

    Frames that go to people for that very doubt are left out: JPEGs that are ``padded``, and frames of which
    most shows nothing, padded or not. A PNG whose header claims more rows than it has, with a correct
    checksum, decodes to black rows.
    """
    rows = rig.rows(
        "SELECT source_name, archive_path FROM inspection"
        " WHERE coalesce(reason, '') NOT IN ('unfinished', 'blank', 'saturated', 'padded')"
    )
    found = ((row.source_name, missing_pixels((rig.archive / row.archive_path).read_bytes())) for row in rows)
    return [f"{name}: {what}" for name, what in found if what]


def wrongly_taken(rig: Rig) -> list[str]:
    """Undamaged, unusual files with another outcome than their own, or other grey values."""
    outcomes: dict[str, str] = {}
    paths: dict[str, str] = {}
    for name, verdict, reason, path in rig.rows(
        "SELECT source_name, verdict, reason, archive_path FROM inspection"
        " UNION ALL SELECT source_name, NULL, reason, NULL FROM quarantine"
    ):
        outcomes[name] = (verdict if reason == "padded" else "judged") if verdict else reason
        paths[name] = path
    wrong = []
    for file in unusual():
        if outcomes.get(file.name) != file.outcome:
            wrong.append(f"{file.name}: {outcomes.get(file.name)} instead of {file.outcome}")
        elif paths[file.name]:
            pixels = decoder.decode((rig.archive / paths[file.name]).read_bytes())
            off = abs(pixels.astype(int) - GREY).max()
            if off > file.off:
                wrong.append(f"{file.name}: {off} grey levels off")
    return wrong


def compared_with_second_decoders(rig: Rig, valid: dict[str, bytes]) -> tuple[set[str], list[str]]:
    """The names of judged images that a second decoder reads too, and those with other grey values there.

    Images of which the valid file is known must have its pixels, or go to people as ``padded``.
    """
    compared, wrong = set(), []
    for name, path, reason in rig.rows("SELECT source_name, archive_path, reason FROM inspection"):
        content = (rig.archive / path).read_bytes()
        try:
            pixels = decoder.decode(content)
        except ImageError as error:
            wrong.append(f"{name}: judged, but {error}")
            continue
        off = grey_levels_off(content, pixels)
        if off is not None:
            compared.add(name)
        if off:
            wrong.append(f"{name}: {off:.0f} grey levels off")
        if name in valid and reason != "padded" and not _shows(valid[name], pixels):
            wrong.append(f"{name}: other pixels than before it was damaged")
    return compared, wrong


def _shows(valid: bytes, pixels: NDArray[np.uint8]) -> bool:
    """Whether a file has these pixels, or is refused itself."""
    try:
        return np.array_equal(pixels, decoder.decode(valid))
    except ImageError:
        return True


def wrong_layouts(count: int, seed: int) -> list[str]:
    """TIFF layouts, a sample, whose grey values are not tifffile's although the decoder takes them."""
    wrong = []
    for layout in random.Random(seed).sample(list(layouts()), count):
        try:
            content = layout.file()
        except Exception:  # noqa: BLE001, S112 - tifffile says in many ways that it does not write a layout
            continue
        try:
            pixels = decoder.decode(content)
        except ImageError as error:
            if error.reason != "unsupported":
                wrong.append(f"{layout}: {error}")
            continue
        difference = abs(pixels - grey_by_tifffile(content)).max()
        if difference > (4 if layout.compression == "jpeg" else 1):
            wrong.append(f"{layout}: {difference:.0f} grey levels off")
    return wrong


def print_outcomes(rig: Rig, kinds: dict[str, str], compared: set[str]) -> None:
    """Print the outcomes of each kind of damage, and how many judged images a second decoder has read."""
    outcomes: dict[str, Counter[str]] = {}
    seconds = Counter(kinds[name] for name in compared)
    for name, reason in rig.rows(
        "SELECT source_name, 'judged' FROM inspection UNION ALL SELECT source_name, reason FROM quarantine"
    ):
        outcomes.setdefault(kinds[name], Counter())[reason] += 1
    table = Table("damage", "files", "judged", "compared", "set aside", title="Outcomes")
    for kind, counts in sorted(outcomes.items()):
        judged = counts.pop("judged", 0)
        aside = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        table.add_row(kind, str(judged + counts.total()), str(judged), str(seconds[kind]), aside)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
