"""Send a hundred thousand frames through one daemon: memory, handles, threads and pace must stay constant.

    make soak
    python benchmarks/soak.py --frames 2000 --plot /tmp/soak.png       a short run

The frames are small and the network is the tests' tiny one, so that an hour holds many files: leaks grow
with the number of files, not with the number of pixels. The drop folder is kept short, so the daemon sets
the pace. Ten times, the camera pauses until the folder is empty. Handles and threads are counted then,
because a file that is being judged is open. Memory is read from /proc once per second, and drawn.
"""

from __future__ import annotations

import itertools
import os
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import audit
import matplotlib as mpl
import typer
from camera import FORMATS, Camera, Frame, encoded, stamped, wait_for_camera
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table
from rig import Rig, databases, progress_bars, tiny_artifact, work_folder

LAPS = 10
WARM_UP_SHARE = 0.05  # of all frames, that is 5,000 of 100,000; after that, memory must not grow
MAX_GROWTH_SHARE, MIN_PACE_SHARE = 0.05, 0.95
MIB = 2**20

console = Console(highlight=False, soft_wrap=True)

Sample = tuple[int, int]  # frames done, resident bytes


@dataclass
class Watch:
    """Samples of a process's memory from /proc, once per second, with the number of frames done."""

    rig: Rig
    camera: Camera
    samples: list[Sample] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def done(self) -> int:
        """The number of frames that have left the drop folder."""
        return len(self.camera.sent) - self.rig.waiting()

    def _look_on(self) -> None:
        while not self._ended.wait(1.0):  # s
            self._look()

    def _look(self) -> None:
        self.samples.append((self.done(), resident(self.rig.daemon.pid)))


@dataclass(frozen=True)
class Lap:
    """One tenth of the run; handles and threads are those of an idle station."""

    frames: int
    seconds: float
    cpu_s: float
    resident: int
    handles: int
    threads: int

    @property
    def pace(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds

    @property
    def cpu_pace(self) -> float:
        """Frames per second of the daemon's processor time, which other programs cannot change."""
        return self.frames / self.cpu_s


def main(
    frames: Annotated[int, typer.Option(min=100)] = 100_000,
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
    plot: Annotated[Path, typer.Option(help="the picture to write")] = Path("soak.png"),
    artifact: Annotated[
        Path | None, typer.Option(help="default: the tests' tiny artifact, compiled now")
    ] = None,
    timed: Annotated[
        bool, typer.Option(help="judge the pace too; only on a machine without other work")
    ] = True,
) -> None:
    """Run, measure and judge; exit with 1 if anything grew."""
    with work_folder("soak") as folder, databases(backend, folder) as url:
        judge = artifact or tiny_artifact(folder / "tiny.pt")
        with Rig(folder / "station", judge.resolve(), url) as rig:
            laps, samples, sent = run(rig, frames)
            problems = [f"{kind}: {line}" for kind, line in audit.of_an_idle_station(rig, sent).problems]
        problems += print_laps(laps, samples, timed=timed)
        draw(plot, laps, samples)
        for line in problems:
            console.print(line, markup=False)
        if problems:
            raise SystemExit(f"{len(problems)} problems; see {folder}")


def run(rig: Rig, frames: int) -> tuple[list[Lap], list[Sample], list]:
    """Run ten laps through one daemon; return their figures, all samples, and the deliveries."""
    with progress_bars(console) as progress:
        task = progress.add_task("frames", total=frames)
        rig.launch_ready()
        laps, sent, samples = [], [], []
        source = small_frames()
        for _ in range(LAPS):
            began, cpu = time.monotonic(), cpu_seconds(rig.daemon.pid)
            some = itertools.islice(source, frames // LAPS)
            with Camera(rig.drop, some, waiting=200, per_second=1e6) as camera, Watch(rig, camera) as watch:
                earlier = len(sent)
                wait_for_camera(
                    camera, rig, lambda done, n=earlier: progress.update(task, completed=n + done)
                )
            at_rest = time.monotonic()
            used = cpu_seconds(rig.daemon.pid) - cpu
            time.sleep(1)  # s: until the files of the last batch are closed
            samples += [(len(sent) + done, size) for done, size in watch.samples]
            sent += camera.sent
            laps.append(Lap(len(camera.sent), at_rest - began, used, *at_rest_figures(rig.daemon.pid)))
        rig.stop()
    return laps, samples, sent


def small_frames() -> Iterator[Frame]:
    """Frames of 40×36 pixels in all four formats, all different."""
    pictures = {suffix: [encoded(seed, suffix, 40, 36) for seed in range(50)] for suffix in FORMATS}
    for number in itertools.count():
        suffix = list(FORMATS)[number % len(FORMATS)]
        picture = pictures[suffix][number // len(FORMATS) % 50]
        yield f"s{number}.{suffix}", stamped(picture, suffix, number)


def print_laps(laps: list[Lap], samples: list[Sample], *, timed: bool) -> list[str]:
    """Print the laps; return a line for each figure that grew."""
    table = Table(title="One daemon")
    for column in ("frames", "frames/s", "frames/CPU s", "resident MiB", "handles", "threads"):
        table.add_column(column, justify="right")
    done = 0
    for lap in laps:
        done += lap.frames
        figures = f"{lap.pace:.1f}", f"{lap.cpu_pace:.1f}", f"{lap.resident / MIB:.1f}"
        table.add_row(f"{done:,}", *figures, str(lap.handles), str(lap.threads))
    console.print(table)
    warm = statistics.median([size for frames, size in samples if frames >= WARM_UP_SHARE * done][:10])
    last = statistics.median([size for frames, size in samples if frames >= (1 - 1 / LAPS) * done])
    pace, cpu_pace = laps[-1].pace / laps[0].pace, laps[-1].cpu_pace / laps[0].cpu_pace
    console.print(
        f"resident {warm / MIB:.1f} MiB after {WARM_UP_SHARE * done:,.0f} frames,"
        f" {last / MIB:.1f} in the last tenth:"
        f" {last / warm - 1:+.1%}\nlast tenth against the first: {pace:.3f} of the frames per second,"
        f" {cpu_pace:.3f} of the frames per second of processor time"
    )
    problems = []
    if last / warm - 1 > MAX_GROWTH_SHARE:
        problems.append(f"resident memory grew by {last / warm - 1:.1%}")
    for name in ("handles", "threads"):  # a worker's thread starts when it is first needed
        counts = [getattr(lap, name) for lap in laps]
        if max(counts[LAPS // 2 :]) > max(counts[: LAPS // 2]):
            problems.append(f"{name} grew: {counts}")
    if timed and pace < MIN_PACE_SHARE:
        problems.append(f"the last tenth ran at {pace:.3f} of the first's pace")
    return problems


def draw(path: Path, laps: list[Lap], samples: list[Sample]) -> None:
    """Draw the memory of each second and the pace of each lap over the frames."""
    mpl.use("Agg")
    figure, (memory, pace) = plt.subplots(2, 1, sharex=True, figsize=(8, 5), layout="constrained")
    memory.plot([frames for frames, _ in samples], [size / MIB for _, size in samples], linewidth=1)
    most = max(size for _, size in samples) / MIB
    memory.set(ylabel="resident memory, MiB", ylim=(0, 1.2 * most), title="One daemon under load")
    ends = list(itertools.accumulate(lap.frames for lap in laps))
    pace.plot(ends, [lap.pace for lap in laps], "o-", label="per second")
    pace.plot(ends, [lap.cpu_pace for lap in laps], "o-", label="per second of processor time")
    pace.set(xlabel="frames", ylabel="frames", ylim=(0, None))
    pace.legend()
    figure.savefig(path, dpi=120)
    console.print(f"drawn: {path}")


# --- /proc ------------------------------------------------------------------------------------------------


def resident(process: int) -> int:
    """The bytes of a process in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(process: int) -> float:
    """The processor time of all threads, in user and kernel mode."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def at_rest_figures(process: int) -> tuple[int, int, int]:
    """Resident bytes, open handles and threads of an idle process."""
    threads = len(os.listdir(f"/proc/{process}/task"))
    return resident(process), len(os.listdir(f"/proc/{process}/fd")), threads


if __name__ == "__main__":
    typer.run(main)
