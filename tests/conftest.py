"""Databases for the tests: SQLite files and a real PostgreSQL; and a look at what a test leaves behind."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import sqlalchemy as sa
from hypothesis import settings
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL, make_url

if TYPE_CHECKING:
    from inspector.ledger.store import Store

settings.load_profile("ci")  # the same examples in every run, and no time limits: see hypothesis.settings
os.umask(0o022)  # for what the tests' stations are made of: files that everybody may write are refused
_NUMBERS = itertools.count()
_MIGRATED = "quality_template"  # copied for each test: quicker than to migrate again
# Files that train, run daemons, start servers or sweep thousands of files: `make test-fast` leaves them out.
_SLOW_FILES = [
    "test_contract",
    "test_demo",
    "test_legacy",
    "test_proofs",
    "console/test_grid_page",
    "console/test_pages",
    "console/test_shown",
    "console/test_signal_page",
    "console/test_review_audit",
    "console/test_review_images",
    "console/test_review_keys",
    "console/test_sign_in_pages",
    "console/test_protection",
    "console/test_server",
    "deploy/test_accounts",
    "deploy/test_people",
    "imaging/test_tiff",
    "ledger/test_pgbouncer",
    "ledger/test_postgresql",
    "ledger/test_shift_day",
    "ledger/test_transactions",
    "monitoring/test_metrics",
    "network/test_artifact",
    "reports/test_models",
    "reports/test_page_html",
    "reports/test_production",
    "reports/test_query",
    "review/test_many_images",
    "review/test_one_by_one",
    "review/test_samples",
    "review/test_service",
    "review/test_verdicts",
    "station/test_daemon",
    "station/test_daemon_outages",
    "station/test_lost_ledger",
    "station/test_reload",
    "station/test_results",
    "station/test_results_folder",
    "station/test_reviewed_results",
    "station/test_troubles",
    "station/test_unfit_artifact",
    "station/test_watchdog",
    "trainer/test_artifact",
    "trainer/test_cli",
    "trainer/test_comparison",
    "trainer/test_convolution",
    "trainer/test_dynamic",
    "trainer/test_final",
    "trainer/test_judging",
    "trainer/test_novelty",
    "trainer/test_pipeline",
    "trainer/test_processes",
    "trainer/test_sweep",
    "trainer/test_synthetic",
    "trainer/test_textures",
    "trainer/test_thresholds",
    "trainer/test_training",
    "trainer/test_unlabelled",
    "trainer/test_ways_to_end",
    "upkeep/test_bench",
    "upkeep/test_decided_images",
    "upkeep/test_install_artifact",
    "upkeep/test_prune",
    "upkeep/test_requeue",
    "upkeep/test_trace",
]
_TWO_PROCESSES = ["trainer/test_ways_to_end", "trainer/test_processes"]  # the slowest of all


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests: slow files, which also run first, and every test that needs PostgreSQL."""
    for item in items:
        if _file(item) in _SLOW_FILES or "postgresql" in item.nodeid:
            item.add_marker(pytest.mark.slow)
    # A worker takes a whole file: a slow one that began last would leave the other cores idle.
    items.sort(key=lambda item: (_file(item) not in _TWO_PROCESSES, _file(item) not in _SLOW_FILES))


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()


@pytest.fixture(autouse=True)
def no_leaks(tmp_path: Path) -> Iterator[None]:
    """A test ends without threads, log handlers or open files of its own."""
    before, handlers = set(threading.enumerate()), logging.root.handlers[:]
    yield
    logging.root.handlers[:] = handlers  # commands that ran in this process log to a stream that is gone now
    deadline = time.monotonic() + 30  # s for threads that are about to end, on a loaded host
    while (leaked := _leaked_threads(before)) and time.monotonic() < deadline:
        leaked[0].join(0.05)
    assert not leaked, f"threads left running: {leaked}"
    if _open_files(tmp_path):
        gc.collect()  # a handle in a reference cycle is no leak
    assert not _open_files(tmp_path), "files left open"


def _leaked_threads(before: set[threading.Thread]) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread not in before and thread.is_alive()]


def _open_files(folder: Path) -> list[str]:
    return [file.path for file in psutil.Process().open_files() if Path(file.path).is_relative_to(folder)]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[URL]:
    """One PostgreSQL server for all tests of this process."""
    from inspector.ledger.store import migrate

    with postgresql_server() as server:
        url = postgresql_url(server)
        # These databases live for a test: none has to survive a power cut.
        settings = "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"
        _administer(url, *settings, f"CREATE DATABASE {_MIGRATED}")
        migrate(url.set(database=_MIGRATED))
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """A database without a schema, on each back end in turn."""
    yield from _database(request, tmp_path, request.param)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[URL]:
    """A migrated database, on each back end in turn."""
    yield from _database(request, tmp_path, request.param, migrated=True)


@pytest.fixture
def url_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., URL]]:
    """Return a function that makes a database on the named back end, by default migrated."""
    made: list[Iterator[URL]] = []

    def make(backend: str, *, migrated: bool = True) -> URL:
        made.append(_database(request, tmp_path, backend, migrated=migrated))
        return next(made[-1])

    yield make
    for database in made:
        next(database, None)


@pytest.fixture(scope="session", params=[1, 2, 3])
def shop(
    request: pytest.FixtureRequest, postgresql: URL, tmp_path_factory: pytest.TempPathFactory
) -> tuple[int, URL, URL]:
    """A seeded history's number with its databases on SQLite and PostgreSQL, written once: only read them."""
    from histories import write

    from inspector.ledger.store import migrate

    sqlite = make_url(f"sqlite:///{tmp_path_factory.mktemp('shop') / 'quality.db'}")
    migrate(sqlite)
    name = f"shop_{request.param}"
    _administer(postgresql, f"CREATE DATABASE {name} TEMPLATE {_MIGRATED}")
    for url in (sqlite, postgresql.set(database=name)):
        write(url, request.param)
    return request.param, sqlite, postgresql.set(database=name)


def _database(
    request: pytest.FixtureRequest, folder: Path, backend: str, *, migrated: bool = False
) -> Iterator[URL]:
    from inspector.ledger.store import migrate

    name = f"quality_{next(_NUMBERS)}"
    if backend == "sqlite":
        url = make_url(f"sqlite:///{folder / name}.db")
        if migrated:
            migrate(url)
        yield url
        return
    server: URL = request.getfixturevalue("postgresql")
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {_MIGRATED if migrated else 'template1'}")
    yield server.set(database=name)
    _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: URL, *statements: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session", params=[1, 2, 3])
def history_urls(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, URL]]:
    """One of the seeded histories (``histories.HISTORIES``) on both back ends; for tests that only read."""
    import histories

    folder = tmp_path_factory.mktemp("history")
    made = {back: _database(request, folder, back, migrated=True) for back in ("sqlite", "postgresql")}
    urls = {back: next(database) for back, database in made.items()}
    for url in urls.values():
        histories.write(url, request.param)
    yield urls
    for database in made.values():
        next(database, None)


@pytest.fixture
def store(url: URL) -> Iterator[Store]:
    """An open ledger of station 'cell-1', on each back end in turn; a pass ends after 300 s."""
    from inspector.ledger.store import Store

    with Store.open(url, "cell-1", seam_gap_s=300) as opened:
        yield opened


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny real artifact, compiled once."""
    from artifact_samples import compiled

    path = tmp_path_factory.mktemp("artifact") / "tiny.pt"
    compiled(path)
    return path
