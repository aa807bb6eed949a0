"""Many stations forward to one PostgreSQL through PgBouncer, which is stopped, while forwarders are killed.

Each station has a SQLite ledger of its own and the real forwarder. First all send a backlog, as after an
outage of weeks. Then they record while the server is away, and catch up. Then they record and send at the
same time, while forwarders are killed by ``kill -9`` and the server crashes and comes back. At the end the
centre must have exactly the rows of all stations. Run it with ``make fleet``. It prints a JSON object for
each part, and exits with 1 if a row is missing, doubled or different.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import rig  # it finds the tests' own modules, which follow
import typer
from forwarders import content
from ledger_samples import SECOND_US, in_force, inspected
from poolers import pgbouncer
from servers import postgresql_server, postgresql_url, start_postgresql, stop_postgresql
from sqlalchemy.engine import URL, make_url

from inspector.forwarding import forwarder
from inspector.ledger import database
from inspector.ledger.store import Store, migrate
from inspector.records import Verdict
from inspector.station.archive_places import ArchiveFolder
from inspector.station.service import StopFlag

_image_numbers = itertools.count(1_000_000, 1_000_000)  # of the first image in each recording


class TimedForwarder(forwarder.Forwarder):
    """A forwarder that notes how long each batch took, from the reading to the commit."""

    def __init__(self, file: Path, *words: Any) -> None:
        super().__init__(*words)
        self._file = file

    def _send_batch(self) -> bool:
        began, before = time.monotonic(), self.sent
        has_more = super()._send_batch()
        if self.sent > before:
            with self._file.open("a") as lines:  # at once, since this process may be killed
                lines.write(f"{time.monotonic()} {time.monotonic() - began} {self.sent - before}\n")
        return has_more


def main(
    stations: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    backlog: Annotated[int, typer.Option(min=1, help="images of each station at the start")] = 2000,
    rate: Annotated[float, typer.Option(help="images per second and station later")] = 1.0,
    outage: Annotated[float, typer.Option(min=0, help="seconds of recording without the server")] = 0,
    seconds: Annotated[float, typer.Option(help="of recording, with kills and crashes")] = 60,
    kills: Annotated[int, typer.Option(min=0)] = 20,
    crashes: Annotated[int, typer.Option(min=0, help="of the server, with an outage of 5 s each")] = 2,
    processes: Annotated[int, typer.Option(min=1, help="that share the forwarders of all stations")] = 4,
    connections: Annotated[int, typer.Option(min=1, help="of PgBouncer to the server")] = 4,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Measure, and prove that nothing is lost or doubled."""
    with rig.work_folder("fleet") as folder, postgresql_server() as server:
        centre = postgresql_url(server)
        migrate(centre)
        own = make_ledgers(folder, stations, backlog)
        with pgbouncer(centre, "transaction", connections=connections, clients=2 * stations + 50) as pooled:
            fleet = Fleet(own, pooled, processes, folder)
            say(stations=stations, seed=seed)
            try:
                say(backlog=catch_up(fleet, centre) | {"batches": fleet.new_batches()})
                if outage:
                    stop_postgresql(server, "immediate")
                    say(outage=record_while(own, rate, outage, lambda _: None))
                    start_postgresql(server)
                    say(after_the_outage=catch_up(fleet, centre) | {"batches": fleet.new_batches()})
                since_us = time.time_ns() // 1000
                disturb = Disturbance(fleet, server, random.Random(seed), seconds, kills, crashes)
                say(disturbed=record_while(own, rate, seconds, disturb.happen))
                say(caught_up=catch_up(fleet, centre) | {"batches": fleet.new_batches()})
                say(delays_s=delays(centre, since_us))
            finally:
                fleet.stop()
        problems = different(own, centre)
        say(rows=count(centre), problems=problems)
    raise typer.Exit(bool(problems))


def say(**figures: Any) -> None:
    """Print what is known at once: a run takes an hour, and its end may fail."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def make_ledgers(folder: Path, stations: int, backlog: int) -> dict[str, URL]:
    """Make the stations' ledgers: copies of one with a backlog, each with its own name."""
    first = make_url(f"sqlite:///{folder / 'station-0.db'}")
    migrate(first)
    with Store.open(first, "station-0", seam_gap_s=300) as store:
        for start in range(0, backlog, 100):
            record(store, start, min(100, backlog - start))
    own = {"station-0": first}
    for number in range(1, stations):
        name = f"station-{number}"
        own[name] = make_url(f"sqlite:///{folder / name}.db")
        shutil.copyfile(str(first.database), str(own[name].database))
        rename(own[name], name)
    return own


def rename(url: URL, name: str) -> None:
    """Give the station of a copied ledger another name, past the trigger that protects it."""
    engine = database.immediate(database.engine(url))
    with engine.begin() as connection:
        [(trigger,)] = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'station_no_update'"
        ).all()
        connection.exec_driver_sql("DROP TRIGGER station_no_update")
        connection.exec_driver_sql("UPDATE station SET name = ?", (name,))
        connection.exec_driver_sql(trigger)
    engine.dispose()


def record(store: Store, first: int, count: int) -> None:
    """Record images as a station does: some fail, and have a heat map."""
    now_us = time.time_ns() // 1000
    verdicts = [Verdict.FAIL if n % 20 == 0 else Verdict.PASS for n in range(first, first + count)]
    items = [
        inspected(
            f"cam1_P-{n // 20:05}_{n}.png",
            seen_us=now_us - SECOND_US,
            verdict=verdict,
            part=f"P-{n // 20:05}",
        )
        for n, verdict in enumerate(verdicts, start=first)
    ]
    store.record(items, in_force(store))


class Fleet:
    """The forwarders of all stations, shared by some processes, each in a thread."""

    def __init__(self, own: dict[str, URL], centre: URL, processes: int, folder: Path) -> None:
        self.own = own
        self._centre = centre
        self._folder = folder
        self._groups = [list(own)[n::processes] for n in range(min(processes, len(own)))]
        self._starts, self._since = 0, time.monotonic()
        self._running = [self._start(group) for group in self._groups]

    def _start(self, group: list[str]) -> multiprocessing.Process:
        self._starts += 1
        urls = {station: self.own[station] for station in group}
        file = self._folder / f"batches-{self._starts}.txt"
        process = multiprocessing.get_context("spawn").Process(
            target=forward_all, args=(urls, self._centre, file)
        )
        process.start()
        return process

    def kill(self, number: int) -> None:
        """Kill a process with all of its forwarders, and start another one in its place."""
        self._running[number].kill()
        self._running[number].join()
        self._running[number] = self._start(self._groups[number])

    @property
    def size(self) -> int:
        """The number of processes."""
        return len(self._running)

    def stop(self) -> None:
        """End all forwarders as systemd does."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.join()

    def new_batches(self) -> dict[str, Any]:
        """The durations of all batches since the last call, except those in work at a kill."""
        since, self._since = self._since, time.monotonic()
        lines = [
            [float(word) for word in line.split()]
            for file in self._folder.glob("batches-*.txt")
            for line in file.read_text().splitlines()
        ]
        new = sorted((seconds, rows) for at, seconds, rows in lines if at > since)
        return {"n": len(new), "rows": sum(int(rows) for _, rows in new)} | quantiles([it[0] for it in new])


def forward_all(own: dict[str, URL], centre: URL, file: Path) -> None:
    """Forward for some stations until SIGTERM, and write down how long the batches take."""
    stop, forwarders = StopFlag(), []
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threads = []
    for station, url in own.items():
        forwarders.append(TimedForwarder(file, url, centre, station, ArchiveFolder(file.parent), stop))
        threads.append(threading.Thread(target=forwarder._for_ever, args=(forwarders[-1], stop)))
        threads[-1].start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    for one in forwarders:
        one.disconnect()


class Disturbance:
    """Kills of forwarders and crashes of the server at random moments."""

    def __init__(
        self, fleet: Fleet, server: Any, chance: random.Random, seconds: float, kills: int, crashes: int
    ) -> None:
        self._fleet = fleet
        self._server = server
        self._chance = chance
        moments = [(chance.uniform(0, seconds), "kill") for _ in range(kills)]
        moments += [(chance.uniform(0, seconds), "crash") for _ in range(crashes)]
        self._moments = sorted(moments, reverse=True)

    def happen(self, at_s: float) -> None:
        """Let everything happen whose moment has come."""
        while self._moments and self._moments[-1][0] <= at_s:
            _, what = self._moments.pop()
            if what == "kill":
                self._fleet.kill(self._chance.randrange(self._fleet.size))
            else:
                stop_postgresql(self._server, "immediate")
                time.sleep(5)
                start_postgresql(self._server)


def record_while(
    own: dict[str, URL], rate: float, seconds: float, disturb: Callable[[float], None]
) -> dict[str, Any]:
    """Let all stations record, each so many images a second.

    Args:
        own: ledger of each station.
        rate: images per second and station.
        seconds: how long.
        disturb: called again and again with the seconds since the start.
    """
    ended, counts, first = threading.Event(), dict.fromkeys(own, 0), next(_image_numbers)

    def stations_work() -> None:
        stores = {name: Store.open(url, name, seam_gap_s=300) for name, url in own.items()}
        began = time.monotonic()
        while not ended.is_set():
            for name, store in stores.items():
                due = int((time.monotonic() - began) * rate) - counts[name]
                if due > 0:
                    record(store, first + counts[name], due)
                    counts[name] += due
            ended.wait(0.2)
        for store in stores.values():
            store.close()

    worker, began = threading.Thread(target=stations_work), time.monotonic()
    worker.start()
    try:
        while time.monotonic() - began < seconds:
            disturb(time.monotonic() - began)
            time.sleep(0.1)
        disturb(seconds)
    finally:
        ended.set()
        worker.join()
    return {"images": sum(counts.values()), "seconds": round(time.monotonic() - began, 1)}


def catch_up(fleet: Fleet, centre: URL) -> dict[str, Any]:
    """Wait until the centre has all rows; return their number, and the speed from the first new one on."""
    wanted = sum(count(url) for url in fleet.own.values())
    before = count(centre)
    while count(centre) == before < wanted:
        time.sleep(0.05)
    began = time.monotonic()
    while (have := count(centre)) < wanted:
        if time.monotonic() - began > 3600:
            break
        time.sleep(0.5)
    took = time.monotonic() - began
    return {
        "rows": have - before,
        "seconds": round(took, 1),
        "rows_per_second": round((have - before) / took),
    }


def count(url: URL) -> int:
    """The number of images and arrivals in a database."""
    query = "SELECT (SELECT count(*) FROM inspection) + (SELECT count(*) FROM arrival)"
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


def delays(centre: URL, since_us: int) -> dict[str, float]:
    """From the judgement of the newest image of a batch to its arrival, for images after the backlog."""
    judged_us = "(positions -> 'inspection' ->> 1)::bigint"
    query = f"SELECT (at_us - {judged_us}) / 1e6 FROM forwarded WHERE sent > 0 AND {judged_us} > {since_us}"
    with database.reading(centre) as engine, database.transaction(engine) as connection:
        return quantiles(sorted(float(row[0]) for row in connection.exec_driver_sql(query)))


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, 99th percentile (nearest rank) and maximum of sorted values."""
    if not values:
        return {}
    ranks = {"p50": (len(values) + 1) // 2, "p99": (len(values) * 99 + 99) // 100, "max": len(values)}
    return {name: round(values[rank - 1], 3) for name, rank in ranks.items()}


def different(own: dict[str, URL], centre: URL) -> list[str]:
    """The stations whose rows at the centre are not exactly their own."""
    wrong = [name for name, url in own.items() if content(url, name) != content(centre, name)]
    if count(centre) != sum(count(url) for url in own.values()):
        wrong.append("the sum of all rows")
    return wrong


if __name__ == "__main__":
    typer.run(main)
