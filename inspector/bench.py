"""This machine's speed with an artifact: each stage alone, and the stages together from files on disk."""

from __future__ import annotations

import io
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from inspector import artifact as artifacts
from inspector import images
from inspector.artifact import Artifact
from inspector.errors import FolderError, ImageError

BATCH = 8  # frames: the daemon's default batch
ROUNDS = 15  # of the single stages: their median is steady to a few percent
PASSES = 3  # over all files, for the whole pipeline
FILES = 64  # images in a pass at least: some seconds on two cores
NOISE_SD = 4.5  # grey levels: gives PNGs of some 440 KiB, as a weld camera does

Times = dict[str, list[float]]  # milliseconds a frame


def bench(artifact: Path, directory: Path | None = None, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure, on warm files and with interleaved rounds.

    Args:
        artifact: the network.
        directory: image files to measure with; noise of 800×974 pixels as PNG where None.
        rounds: how often each stage is timed alone.

    Returns:
        Milliseconds are medians for one frame on one thread: ``decode_ms`` (read, hash, decode),
        ``prepare_ms``, ``batch1_ms`` and ``batch8_ms`` (the network in batches of 1 and 8).
        ``images_per_second`` is the whole pipeline, files to answers, on ``threads`` workers;
        ``ideal_images_per_second`` is ``threads`` over the sum of decode, prepare and batch8;
        ``efficiency`` is their ratio. ``spread`` holds, for each figure, its quartiles.

    Raises:
        ArtifactError: see :func:`inspector.artifact.open`.
        FolderError: the directory is missing or holds no image.
    """
    opened = artifacts.open(artifact)
    opened.warm_up(BATCH)  # from here on one thread for each worker
    threads = len(os.sched_getaffinity(0))
    with _files(directory) as files:
        stages = _time_stages(opened, files, rounds)
        rates = [_pipeline_rate(opened, files, threads) for _ in range(PASSES)]
    middle = {name: statistics.median(times) for name, times in stages.items()}
    ideal = threads * 1000 / (middle["decode_ms"] + middle["prepare_ms"] + middle["batch8_ms"])
    rate = statistics.median(rates)
    spread = {name: _quartiles(times) for name, times in stages.items()}
    return {
        "artifact": f"{opened.metadata.name} {opened.metadata.version}, {opened.metadata.quantization}",
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "files": len(files),
        "threads": threads,
        **{name: round(value, 3) for name, value in middle.items()},
        "images_per_second": round(rate, 1),
        "ideal_images_per_second": round(ideal, 1),
        "efficiency": round(rate / ideal, 3),
        "spread": spread | {"images_per_second": _quartiles(rates)},
    }


def table(result: dict[str, Any]) -> str:
    """The figures of :func:`bench` for people."""
    told = Table(title=f"{result['artifact']} on {result['machine']}, {result['files']} files")
    told.add_column("what")
    told.add_column("median", justify="right")
    told.add_column("quartiles", justify="right")
    for name, what in (
        ("decode_ms", "read, hash and decode, ms a frame, one thread"),
        ("prepare_ms", "prepare, ms a frame, one thread"),
        ("batch1_ms", "network, batches of 1, ms a frame, one thread"),
        ("batch8_ms", "network, batches of 8, ms a frame, one thread"),
        ("images_per_second", f"files to answers, images/s, {result['threads']} threads"),
    ):
        low, high = result["spread"][name]
        told.add_row(what, f"{result[name]:g}", f"{low:g} to {high:g}")
    told.add_row("ideal, images/s", f"{result['ideal_images_per_second']:g}", "")
    told.add_row("efficiency", f"{result['efficiency']:.0%}", "")
    text = io.StringIO()
    Console(file=text, width=100).print(told)
    return text.getvalue().rstrip()


@contextmanager
def _files(directory: Path | None) -> Iterator[list[Path]]:
    """Image files, repeated until there are ``FILES`` of them."""
    if directory is not None:
        yield _repeated(_readable(directory))
        return
    with tempfile.TemporaryDirectory(prefix="weld-bench-") as folder:
        yield _repeated([_noise(Path(folder) / f"{seed}.png", seed) for seed in range(BATCH)])


def _repeated(files: Sequence[Path]) -> list[Path]:
    return [files[i % len(files)] for i in range(max(FILES, len(files)))]


def _readable(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise FolderError(f"{directory}: is no folder; --dir wants a folder of images")
    files = []
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        try:
            images.decode(path.read_bytes())
        except (ImageError, OSError):
            continue
        files.append(path)
    if not files:
        raise FolderError(f"{directory}: holds no image that can be read")
    return files


def _noise(path: Path, seed: int) -> Path:
    """A frame of the camera's size that costs a decoder what a real one costs."""
    random = np.random.default_rng(seed)
    glow = 110 + 60 * np.sin(np.linspace(0, 3, 974))[:, None] * np.sin(np.linspace(0, 3, 800))
    pixels = np.clip(random.normal(glow, NOISE_SD), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def _time_stages(opened: Artifact, files: Sequence[Path], rounds: int) -> Times:
    times: Times = {"decode_ms": [], "prepare_ms": [], "batch1_ms": [], "batch8_ms": []}
    for start in range(rounds):
        some = [files[(start * BATCH + i) % len(files)] for i in range(BATCH)]
        pixels = _timed(times["decode_ms"], _each(_decode), some)
        frames = _timed(times["prepare_ms"], _each(opened.prepare), pixels)
        batch = torch.stack(frames)
        _timed(times["batch1_ms"], _each(opened.forward), torch.split(batch, 1))
        _timed(times["batch8_ms"], opened.forward, batch)
    return times


def _timed(times: list[float], work: Callable[[Any], Any], argument: Any) -> Any:
    started = time.perf_counter()
    result = work(argument)
    times.append((time.perf_counter() - started) * 1000 / BATCH)
    return result


def _each(work: Callable[[Any], Any]) -> Callable[[Iterable[Any]], list[Any]]:
    return lambda arguments: [work(argument) for argument in arguments]


def _decode(path: Path) -> NDArray[np.uint8]:
    with images.read_source(path) as source:
        return images.decode(source.data)


def _pipeline_rate(opened: Artifact, files: Sequence[Path], threads: int) -> float:
    """Images a second, each worker taking a batch of files at a time to its answers."""

    def answer(batch: Sequence[Path]) -> None:
        opened.forward(torch.stack([opened.prepare(_decode(path)) for path in batch]))

    batches = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    started = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(answer, batches))
    return len(files) / (time.perf_counter() - started)


def _quartiles(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.percentile(values, (25, 75))
    return round(float(low), 3), round(float(high), 3)
