"""The command ``predict``: it judges pictures with an artifact alone, without a station."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.commands.options import AsJson, tracked
from inspector.errors import StationError, UsageError

if TYPE_CHECKING:
    from inspector.network.judging import Network
    from inspector.reports.page.reasons import Thresholds

FIELDS = ("file", "verdict", "label", "confidence", "probabilities", "novelty", "reason", "error")


def predict(
    artifact: Annotated[Path, typer.Argument(help="the network, made by weld-train", metavar="ARTIFACT")],
    images: Annotated[list[Path], typer.Argument(help="image files, or folders of them", metavar="IMAGE")],
    heat: Annotated[
        Path | None,
        typer.Option(
            help="write a picture of each image with heat map, probabilities and thresholds to this folder",
            metavar="DIR",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge pictures with an artifact alone, without a station, settings or a database.

    The verdicts are those that a station would record, by the thresholds in the artifact. A file that cannot
    be judged does not keep the others from being judged; the exit status is then 1.
    """
    import torch

    from inspector.network import judging
    from inspector.reports.page.reasons import Thresholds

    files = list(_files(images))
    torch.set_num_threads(1)  # as in the daemon: the last bits of a sum depend on the number of threads
    network = judging.load(artifact)
    about = network.metadata
    if about.caution:
        typer.echo(f"note: {artifact}: {about.caution}", err=True)
    thresholds = Thresholds.of({"thresholds": network.thresholds}, about.model_dump())
    pictures = _Pictures(heat, files, thresholds) if heat else None
    entries = [_entry(network, file, pictures) for file in tracked("judging")(files)]
    if as_json:
        typer.echo(json.dumps({"images": entries}))
    else:
        _print_table(entries, thresholds)
    failed = sum(entry["error"] is not None for entry in entries)
    if failed:
        raise StationError(f"{failed} of {len(entries)} files could not be judged")


def _files(images: Sequence[Path]) -> Iterator[Path]:
    """Yield the files; of a folder those below it that end like an image, by name.

    Raises:
        UsageError: a folder has none.
    """
    from inspector.station.listing import has_intake_name, is_image_name

    for path in images:
        if not path.is_dir():
            yield path
            continue
        found = [file for file in sorted(path.rglob("*")) if is_image_name(file.name) and file.is_file()]
        found = [file for file in found if has_intake_name(file.name)]
        if not found:
            raise UsageError(f"{path}: no file in this folder ends like an image; name the files themselves")
        yield from found


def _entry(network: Network, file: Path, pictures: _Pictures | None) -> dict[str, Any]:
    """Judge one file; the entry has an error instead of a verdict if it cannot be judged."""
    from inspector.errors import ImageError
    from inspector.imaging.decoder import unused_bits_warning

    entry: dict[str, Any] = {"file": str(file)} | dict.fromkeys(FIELDS[1:])
    try:
        picture = network.read(file)
    except ImageError as error:
        return entry | {"error": str(error)}
    if warning := unused_bits_warning(picture.unused_bits, network.metadata.bit_depth):
        typer.echo(f"note: {file}: {warning}", err=True)
    [judgement] = network.judge_pictures([picture])
    if pictures:
        pictures.draw(file, picture.pixels, judgement)
    return entry | {name: getattr(judgement, name) for name in FIELDS[1:-1]}


class _Pictures:
    """Pictures of judged images in a folder; none takes the place of a judged image or of another one."""

    def __init__(self, folder: Path, images: Sequence[Path], thresholds: Thresholds) -> None:
        self._folder, self._thresholds = folder, thresholds
        self._taken = {image.resolve() for image in images}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--heat {folder}: {error.strerror}; name another folder") from None

    def draw(self, file: Path, pixels: Any, judgement: Any) -> None:
        """Draw one image, as STEM.heat.png or with a number if that name is taken."""
        from inspector.reports.page import contact_sheet

        number, out = 1, self._folder / f"{file.stem}.heat.png"
        while out.resolve() in self._taken:
            number += 1
            out = self._folder / f"{file.stem}-{number}.heat.png"
        self._taken.add(out.resolve())
        contact_sheet.draw_judgement(pixels, judgement, self._thresholds, file.name, out)


def _print_table(entries: Sequence[dict[str, Any]], thresholds: Thresholds) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from inspector.reports.page.reasons import explained
    from inspector.reports.page.words import Words, printable

    table = Table(box=SIMPLE_HEAD)
    for column in ("file", "verdict", "class", "confidence", "why"):
        table.add_column(column, justify="right" if column == "confidence" else "left", overflow="fold")
    for entry in entries:
        why = entry["error"] or ""
        if entry["reason"]:
            why = explained(entry["reason"], entry["novelty"], thresholds, Words())
        share = "–" if entry["confidence"] is None else f"{entry['confidence']:.3f}"
        cells = (entry["file"], entry["verdict"] or "–", entry["label"] or "–", share, why)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    # A terminal folds long names; a file or a pipe gets one line for each image.
    Console(width=None if sys.stdout.isatty() else 10_000).print(table)
