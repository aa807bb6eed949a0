"""This machine's speed with an artifact: each stage by itself, and the whole station from files to rows.

The pipeline is the daemon itself, built as for ``weld-inspect once``, with a backlog of files in a temporary
station with a SQLite database. The ideal speed is that of cores which only hash, decode, prepare and judge,
without the database, the moves and all waiting.
"""

from __future__ import annotations

import io
import os
import platform
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from inspector import filesystems, permissions
from inspector.errors import FolderError, ImageError
from inspector.imaging import decoder, flaws
from inspector.imaging.source import read_source
from inspector.ledger import store
from inspector.network import artifact as artifacts
from inspector.network.artifact import Artifact
from inspector.settings import Settings
from inspector.station import composition
from inspector.station.service import ReloadFlag, StopFlag

FRAMES_PER_BATCH = 8  # the daemon's default
ROUNDS = 15  # of each stage: its median is then steady to a few percent
PASSES = 3  # of the pipeline; the rounds are spread over them, so that both meet the same disturbances
FRAMES_PER_PASS = 1000  # seven seconds on two fast cores, so that start and end hardly count
NOISE_SD_LEVELS = 4.5  # of grey: gives PNGs of some 440 KiB, like those of a weld camera

Values = dict[str, list[float]]

ROWS = (  # field, and its name in the table
    ("decode_ms", "read, hash and decode, ms per frame, one thread"),
    ("prepare_ms", "prepare, ms per frame, one thread"),
    ("batch1_ms", "network, batches of 1, ms per frame, one thread"),
    ("batch8_ms", "network, batches of 8, ms per frame, one thread"),
    ("batch1_all_threads_ms", "network, batches of 1, ms per frame, {threads} threads in one call"),
    ("batch8_all_threads_ms", "network, batches of 8, ms per frame, {threads} threads in one call"),
    ("images_per_second", "files to committed rows, images/s, {threads} workers"),
    ("processor_ms", "the same, processor time, ms per frame"),
    ("stages_processor_ms", "of it decode, prepare and batches of 8, one thread"),
)


def bench(
    artifact: Path, directory: Path | None = None, *, rounds: int = ROUNDS, frames: int = FRAMES_PER_PASS
) -> dict[str, Any]:
    """Measure with files that the system has in memory.

    Args:
        artifact: the network.
        directory: image files to measure with, repeated as needed; None: noise of 800×974 pixels.
        rounds: how often each stage is timed, one batch at a time; at least once per pass.
        frames: files in each of the ``PASSES`` of the pipeline.

    Returns:
        Medians, with their quartiles in ``spread``. Per frame on one thread: ``decode_ms`` (read, hash,
        decode, look for flaws), ``prepare_ms``, ``batch1_ms`` and ``batch8_ms`` (the network in batches of 1
        and 8). ``…_all_threads_ms`` is with torch's threads on all cores. ``images_per_second`` is the speed
        of the station on ``threads`` workers, from files on ``file_system`` to committed rows and moved
        files. ``processor_ms`` is its user and system time per frame, and ``stages_processor_ms`` that of
        the three stages alone. On a busy machine the ratio of these two says more than ``efficiency``.
        ``ideal_images_per_second`` is ``threads`` divided by the sum of decode, prepare and batch8, and
        ``efficiency`` is the share of it that was reached. ``memory_mb`` is the largest resident memory of
        this process, in 10⁶ bytes.

    Raises:
        ArtifactError: see :func:`inspector.network.artifact.open`.
        FolderError: the directory is missing or holds no image.
    """
    opened = artifacts.open(artifact)
    opened.warm_up(FRAMES_PER_BATCH)  # from now on one thread per worker
    threads = len(os.sched_getaffinity(0))
    values: Values = {name: [] for name, _ in ROWS}
    with tempfile.TemporaryDirectory(prefix="weld-bench-") as temporary:
        folder = Path(temporary)
        files = _readable(directory) if directory is not None else _noise(folder)
        for number in range(PASSES):
            _time_stages(values, opened, files, threads, range(number, max(rounds, PASSES), PASSES))
            _time_station(values, opened, files, folder / str(number), frames)
        file_system = filesystems.file_system(folder)
    middle = {name: statistics.median(times) for name, times in values.items()}
    ideal = threads * 1000 / (middle["decode_ms"] + middle["prepare_ms"] + middle["batch8_ms"])
    return {
        "artifact": f"{opened.metadata.name} {opened.metadata.version}, {opened.metadata.quantization}, "
        f"{opened.metadata.width}×{opened.metadata.height}",
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "file_system": file_system,
        "frames": frames,
        "threads": threads,
        **{name: round(value, 3) for name, value in middle.items()},
        "ideal_images_per_second": round(ideal, 1),
        "efficiency": round(middle["images_per_second"] / ideal, 3),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "spread": {name: _quartiles(times) for name, times in values.items()},
    }


def table(result: dict[str, Any]) -> str:
    """Return the figures of :func:`bench` as a table."""
    printed = Table(title=f"{result['artifact']} on {result['machine']}; {PASSES} × {result['frames']} files")
    printed.add_column("what")
    printed.add_column("median", justify="right")
    printed.add_column("quartiles", justify="right")
    for name, what in ROWS:
        low, high = result["spread"][name]
        printed.add_row(what.format(**result), f"{result[name]:g}", f"{low:g} to {high:g}")
    printed.add_row("ideal, images/s", f"{result['ideal_images_per_second']:g}", "")
    printed.add_row("efficiency", f"{result['efficiency']:.0%}", "")
    printed.add_row("memory at most, MB resident", f"{result['memory_mb']:g}", "")
    text = io.StringIO()
    Console(file=text, width=100).print(printed)
    return text.getvalue().rstrip()


# --- the files to measure with --------------------------------------------------------------------------


def _readable(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise FolderError(f"{directory}: is not a folder; give --dir a folder of images")
    files = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        try:
            decoder.decode(path.read_bytes())
        except (ImageError, OSError):
            continue
        files.append(path)
    if not files:
        raise FolderError(f"{directory}: holds no image that can be read")
    return files


def _noise(folder: Path) -> list[Path]:
    """Make frames of the camera's size that take as long to decode as real ones."""
    random = np.random.default_rng(0)
    glow = 110 + 60 * np.sin(np.linspace(0, 3, 974))[:, None] * np.sin(np.linspace(0, 3, 800))
    files = [folder / f"noise-{number}.png" for number in range(FRAMES_PER_BATCH)]
    for path in files:
        Image.fromarray(np.clip(random.normal(glow, NOISE_SD_LEVELS), 0, 255).astype(np.uint8)).save(path)
    return files


# --- each stage by itself -------------------------------------------------------------------------------


def _time_stages(
    values: Values, opened: Artifact, files: Sequence[Path], threads: int, rounds: Iterable[int]
) -> None:
    for start in rounds:
        chosen = [files[(start * FRAMES_PER_BATCH + i) % len(files)] for i in range(FRAMES_PER_BATCH)]
        before = time.thread_time()
        pixels = _timed(values["decode_ms"], _each(_decode), chosen)
        frames = _timed(values["prepare_ms"], _each(opened.prepare), pixels)
        batch = torch.stack(frames)
        _timed(values["batch8_ms"], opened.forward, batch)
        values["stages_processor_ms"].append((time.thread_time() - before) * 1000 / FRAMES_PER_BATCH)
        _timed(values["batch1_ms"], _each(opened.forward), torch.split(batch, 1))
        with _threads(threads):
            opened.forward(batch)  # starts the threads
            _timed(values["batch1_all_threads_ms"], _each(opened.forward), torch.split(batch, 1))
            _timed(values["batch8_all_threads_ms"], opened.forward, batch)


def _timed(times: list[float], work: Callable[[Any], Any], argument: Any) -> Any:
    started = time.perf_counter()
    result = work(argument)
    times.append((time.perf_counter() - started) * 1000 / FRAMES_PER_BATCH)
    return result


def _each(work: Callable[[Any], Any]) -> Callable[[Iterable[Any]], list[Any]]:
    return lambda arguments: [work(argument) for argument in arguments]


def _decode(path: Path) -> NDArray[np.uint8]:
    with read_source(path) as source:
        pixels = decoder.decode(source.data)
    flaws.find_flaw(pixels)
    return pixels


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# --- the whole station ----------------------------------------------------------------------------------


def _time_station(values: Values, opened: Artifact, files: Sequence[Path], folder: Path, frames: int) -> None:
    """Time one pass of the daemon over copies of the files, in a temporary folder."""
    drop = folder / "drop"
    drop.mkdir(parents=True)
    for number in range(frames):
        file = files[number % len(files)]
        shutil.copyfile(file, drop / f"{number:06d}{file.suffix}")
    # Built without validation, and so without the environment, which may name the real station's database.
    settings = Settings.model_construct(
        station="bench",
        drop_folder=drop,
        archive_folder=folder / "archive",
        quarantine_folder=folder / "quarantine",
        database_url=f"sqlite:///{folder / 'quality.db'}",
        artifact=opened.path,
        artifact_sha256=opened.sha256,
        others_may_write=permissions.environment_allows_others(),
        settle_s=0.0,  # no writer is at work on these copies, so they are ready at once
    )
    store.migrate(settings.url)
    station = composition.daemon(folder, settings, stop=StopFlag(), reload=ReloadFlag(), only_present=True)
    before = time.process_time()
    totals = station.run()
    values["processor_ms"].append((time.process_time() - before) * 1000 / frames)
    values["images_per_second"].append(totals.images_per_second)
    shutil.rmtree(folder)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, (25, 75))
    return round(float(low), 3), round(float(high), 3)
