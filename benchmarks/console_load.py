"""Measure whether hostile clients of the review console delay inspections.

Images are inspected one at a time, in turns without and with hostile clients: rubbish requests at a steady
rate, connections that send one byte per second, and bodies without an end. The console runs beside the
station as its unit runs it, with a tenth of the station's weight for the processor (here by nice 10, since
the weights of systemd need systemd). The hostile clients run on this machine, too, at the lowest priority.
Run it with ``make console-load``, on a quiet machine.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import socket
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Self

import audit  # its rig puts the tests' own modules on the path
import typer
from camera import Sent, sent_as, stamped
from consoles import running_console
from latency import PICTURES, noisy_pngs, wait_for_row
from rich.console import Console
from rich.table import Table
from rig import DEMO, Broken, Rig, databases, work_folder

from inspector.ledger import database

MAX_RATIO = (
    1.05  # of the latencies with and without hostile clients: the bound that the project has set itself
)
CONSOLE_NICE = 10  # a tenth of the weight of a process without nice, as CPUWeight=10 beside 100
RUBBISH = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"GET /charts/p_chart HTTP/1.1\r\nHost: x\r\nCookie: weldnet-console=AAAA\r\nConnection: close\r\n\r\n",
    b"POST /api/verdicts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    b"GET /image/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST /sign-in HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 18\r\nConnection: close\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\nname=a&password=bb",
    b"\x16\x03\x01\x00\xa5 this is no HTTP\r\n\r\n",
)

console = Console(highlight=False, soft_wrap=True)


def main(
    turns: Annotated[int, typer.Option(min=1, help="turns of each kind")] = 10,
    images: Annotated[int, typer.Option(min=2, help="images of a turn")] = 50,
    rate: Annotated[float, typer.Option(help="rubbish requests per second")] = 50,
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
    artifact: Annotated[Path, typer.Option()] = DEMO,
) -> None:
    """Measure in turns and print; exit with 1 if the bound is missed or a file is unaccounted for."""
    with work_folder("console-load") as place, databases(backend, place) as url:
        patience = {"settle_s": 0.5, "give_up_s": 10, "scan_s": 2}  # the shipped defaults
        with Rig(place / "station", artifact.resolve(), url, **patience) as rig:
            rig.launch_ready()
            with running_console(rig) as hostess, HostileClients(hostess.port, rate) as clients:
                os.setpriority(os.PRIO_PROCESS, hostess.process.pid, CONSOLE_NICE)
                camera = _Camera(rig)
                camera.take(images)  # until everything is warm
                quiet: list[float] = []
                attacked: list[float] = []
                answers, attacked_s = 0, 0.0
                for turn in range(turns):
                    quiet += camera.take(images)
                    with clients.let_loose():
                        began, before = time.monotonic(), clients.answered
                        attacked += camera.take(images)
                        answers += clients.answered - before
                        attacked_s += time.monotonic() - began
                    medians = f"{statistics.median(quiet):.0f} and {statistics.median(attacked):.0f} ms"
                    per_s = f"{answers / attacked_s:.0f} requests per second"
                    sys.stderr.write(f"turn {turn + 1} of {turns}: medians {medians}, {per_s}\n")
                if hostess.process.poll() is not None:
                    raise Broken("the console ended")
            rig.stop()
            problems = audit.of_an_idle_station(rig, camera.sent).problems
    missed = print_figures(quiet, attacked, answers / attacked_s)
    print_turns(quiet, attacked, images)
    for kind, line in problems:
        console.print(f"{kind}: {line}", markup=False)
    raise typer.Exit(bool(missed or problems))


class _Camera:
    """Writes one image at a time to a station and waits for its row."""

    def __init__(self, rig: Rig) -> None:
        self.sent: list[Sent] = []
        self._rig, self._pictures, self._chance = rig, noisy_pngs(), random.Random(0)

    def take(self, count: int) -> list[float]:
        """Milliseconds from a file's close to its committed row, for each of some images."""
        taken = []
        with database.reading(self._rig.url) as engine:
            for _ in range(count):
                time.sleep(self._chance.uniform(0.05, 0.15))  # s: let the station become idle
                number = len(self.sent)
                content = stamped(self._pictures[number % PICTURES], "png", number)
                path = self._rig.drop / f"c{number}.png"
                path.write_bytes(content)
                closed = time.monotonic()
                _, seen = wait_for_row(engine, path.name)
                taken.append((seen - closed) * 1000)
                self.sent.append(sent_as(path.name, content))
                self._rig.wait_until_idle()
        return taken


class HostileClients:
    """A process of hostile clients, who do their worst while they are let loose."""

    def __init__(self, port: int, rate: float) -> None:
        start = multiprocessing.get_context("spawn")
        self._answered, self._loose, self._end = start.Value("i", 0), start.Event(), start.Event()
        what = port, rate, self._answered, self._loose, self._end
        self._process = start.Process(target=_be_hostile, args=what, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._process.join(30)
        self._process.kill()

    @contextlib.contextmanager
    def let_loose(self) -> Iterator[None]:
        """Let them attack during the block, from its first answer on."""
        before = self._answered.value
        self._loose.set()
        while self._answered.value == before and self._process.is_alive():
            time.sleep(0.01)
        yield
        self._loose.clear()

    @property
    def answered(self) -> int:
        """The number of rubbish requests that were answered, or closed without an answer."""
        return int(self._answered.value)


def _be_hostile(port: int, rate: float, answered: Any, loose: Any, end: Any) -> None:
    os.nice(19)

    def rubbish(number: int) -> None:
        with contextlib.suppress(OSError), _connected(port) as channel:
            channel.sendall(RUBBISH[number % len(RUBBISH)])
            while channel.recv(65_536):
                pass
        with answered.get_lock():
            answered.value += 1

    for kind in (_send_slowly, _send_slowly, _send_slowly, _send_without_end):
        threading.Thread(target=kind, args=(port, loose), daemon=True).start()
    with ThreadPoolExecutor(32) as senders:  # at the rate, however slowly the console answers
        due = time.monotonic()
        for number in itertools.count():
            while not loose.wait(0.1) and not end.is_set():
                due = time.monotonic()
            if end.is_set():
                break
            senders.submit(rubbish, number)
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))
        senders.shutdown(cancel_futures=True)


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 5)


def _send_slowly(port: int, loose: Any) -> None:
    """Send one byte per second, on a new connection whenever the console has enough of it."""
    while True:
        loose.wait()
        with contextlib.suppress(OSError), _connected(port) as channel:
            for byte in b"POST /api/verdicts HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 1000:
                channel.sendall(bytes([byte]))
                time.sleep(1)
                if not loose.is_set():
                    break


def _send_without_end(port: int, loose: Any) -> None:
    """Send a body of a terabyte for as long as the console takes it, and begin again a second later."""
    head = f"POST /api/verdicts HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    head += f"Content-Length: {1 << 40}\r\n\r\n"
    while True:
        loose.wait()
        with contextlib.suppress(OSError), _connected(port) as channel:
            channel.sendall(head.encode())
            while loose.is_set():
                channel.sendall(bytes(1 << 16))
        time.sleep(1)


def print_figures(quiet: list[float], attacked: list[float], rate: float) -> bool:
    """Print both spreads and their ratio; return whether the bound was missed."""
    table = Table(
        title=f"close → committed row, ms, {len(quiet)} images each, {rate:.0f} rubbish requests per second"
    )
    for column in ("", "median", "p95", "longest"):
        table.add_column(column, justify="right" if column else "left")
    spreads = [
        (statistics.median(values), statistics.quantiles(values, n=20)[18], max(values))
        for values in (quiet, attacked)
    ]
    for name, spread in zip(("without", "with hostile clients"), spreads, strict=True):
        table.add_row(name, *(f"{value:.1f}" for value in spread))
    ratios = [after / before for before, after in zip(*spreads, strict=True)]
    table.add_row("ratio", *(f"{ratio:.3f}" for ratio in ratios))
    console.print(table)
    missed = max(ratios[:2]) > MAX_RATIO
    console.print(f"bound: median and p95 within {MAX_RATIO - 1:.0%}: {'missed' if missed else 'kept'}")
    return missed


def print_turns(quiet: list[float], attacked: list[float], images: int) -> None:
    """Print how much the ratio of the medians differs between turns; a busy machine spreads them."""
    turns = [slice(begin, begin + images) for begin in range(0, len(quiet), images)]
    ratios = [statistics.median(attacked[turn]) / statistics.median(quiet[turn]) for turn in turns]
    console.print(f"ratio of the medians in each turn: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    typer.run(main)
