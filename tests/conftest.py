"""Databases for the tests: SQLite files and a real PostgreSQL; and a look at what a test leaves behind."""

from __future__ import annotations

import functools
import gc
import itertools
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest
import typer.testing
from hypothesis import settings
from servers import postgresql_server, postgresql_url
from sqlalchemy.engine import URL, make_url

if TYPE_CHECKING:
    from inspector.ledger.store import Store

settings.load_profile("ci")  # the same examples in every run, and no time limits: see hypothesis.settings
# For the programs that tests start. Tests run side by side, and threads that wait for a core spin: a training
# of twenty seconds took four minutes.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.umask(0o022)  # for what the tests' stations are made of: files that everybody may write are refused
_NUMBERS = itertools.count()
# CliRunner builds all commands of an app for each call of one; they are the same each time, and take 20 ms.
typer.testing._get_command = functools.cache(typer.testing._get_command)
# Files that train, run daemons, start servers or sweep thousands of files: `make test-fast` leaves them out.
_SLOW_FILES = [
    "test_contract",
    "test_demo",
    "test_legacy",
    "test_proofs",
    "commands/test_help",
    "commands/test_init",
    "commands/test_mistakes",
    "commands/test_predict",
    "console/test_grid_page",
    "console/test_pages",
    "console/test_shown",
    "console/test_signal_page",
    "console/test_site_pages",
    "console/test_review_audit",
    "console/test_review_images",
    "console/test_review_keys",
    "console/test_sign_in_pages",
    "console/test_protection",
    "console/test_server",
    "deploy/test_accounts",
    "deploy/test_cameras",
    "deploy/test_container",
    "deploy/test_people",
    "deploy/test_wheel",
    "forwarding/test_forward",
    "forwarding/test_forward_interrupted",
    "imaging/test_tiff",
    "ledger/test_pgbouncer",
    "ledger/test_postgresql",
    "ledger/test_shift_day",
    "ledger/test_summary_seal",
    "ledger/test_transactions",
    "monitoring/test_metrics",
    "network/test_artifact",
    "network/test_judging",
    "network/test_plain_torch",
    "reports/test_models",
    "reports/test_page_html",
    "reports/test_production",
    "reports/test_query",
    "reports/test_shadow",
    "reports/test_sites",
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
    "station/test_shadow",
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
    "trainer/test_labels",
    "trainer/test_novelty",
    "trainer/test_pipeline",
    "trainer/test_processes",
    "trainer/test_restarts",
    "trainer/test_sweep",
    "trainer/test_synthetic",
    "trainer/test_textures",
    "trainer/test_thresholds",
    "trainer/test_training",
    "trainer/test_unlabelled",
    "trainer/test_ways_to_end",
    "upkeep/test_backup",
    "upkeep/test_bench",
    "upkeep/test_decided_images",
    "upkeep/test_install_artifact",
    "upkeep/test_prune",
    "upkeep/test_rejudge",
    "upkeep/test_rejudge_ray",
    "upkeep/test_requeue",
    "upkeep/test_trace",
]
_SLOWEST_FILES = ["test_proofs", "trainer/test_ways_to_end", "trainer/test_processes"]  # minutes


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than cores: a test often waits for a daemon, a browser or a time-out."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests: slow files, which also run first, and every test that needs PostgreSQL."""
    for item in items:
        if _file(item) in _SLOW_FILES or "postgresql" in item.nodeid:
            item.add_marker(pytest.mark.slow)
    # A worker takes a whole file: a slow one that began last would leave the other cores idle.
    items.sort(key=lambda item: (_file(item) not in _SLOWEST_FILES, _file(item) not in _SLOW_FILES))


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
    with postgresql_server() as server:
        url = postgresql_url(server)
        # These databases live for a test: none has to survive a power cut.
        _administer(url, "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(url_of: Callable[..., URL], request: pytest.FixtureRequest) -> URL:
    """A database without a schema, on each back end in turn."""
    return url_of(request.param, migrated=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(url_of: Callable[..., URL], request: pytest.FixtureRequest) -> URL:
    """A migrated database, on each back end in turn."""
    return url_of(request.param)


@pytest.fixture
def url_of(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    migrated_url: Callable[[str], URL],
    history_url: Callable[..., URL],
) -> Iterator[Callable[..., URL]]:
    """Return a function that makes a database on the named back end: migrated, empty or with a history."""
    made: list[URL] = []

    def make(backend: str, *, migrated: bool = True, history: int | None = None) -> URL:
        written = history_url(history, backend) if history else migrated_url(backend) if migrated else None
        made.append(_new_database(request, tmp_path, backend, written))
        return made[-1]

    yield make
    for url in made:
        if url.get_backend_name() == "postgresql":
            _administer(url.set(database="postgres"), f"DROP DATABASE {url.database} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], URL]:
    """Return a function that gives a migrated database on a back end, for copies."""
    from inspector.ledger.store import migrate

    @functools.cache
    def made(backend: str) -> URL:
        url = _new_database(request, tmp_path_factory.mktemp("migrated"), backend)
        migrate(url)
        return url

    return made


@pytest.fixture(scope="session")
def history_url(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_url: Callable[[str], URL],
) -> Callable[..., URL]:
    """Return a function that gives one of ``histories.HISTORIES`` on a back end, to read only."""
    import histories

    @functools.cache
    def made(seed: int, backend: str = "sqlite") -> URL:
        folder = tmp_path_factory.mktemp("history")
        url = _new_database(request, folder, backend, migrated_url(backend))
        histories.write(url, seed)
        return url

    return made


@pytest.fixture(params=[1, 2, 3])
def shop(request: pytest.FixtureRequest, history_url: Callable[..., URL]) -> tuple[int, URL, URL]:
    """A history's number with its databases on SQLite and PostgreSQL, for tests that only read."""
    seed: int = request.param
    return seed, history_url(seed, "sqlite"), history_url(seed, "postgresql")


@pytest.fixture(params=[1, 2, 3])
def history_urls(request: pytest.FixtureRequest, history_url: Callable[..., URL]) -> dict[str, URL]:
    """One of the histories on both back ends, for tests that only read."""
    return {backend: history_url(request.param, backend) for backend in ("sqlite", "postgresql")}


def _new_database(
    request: pytest.FixtureRequest, folder: Path, backend: str, template: URL | None = None
) -> URL:
    """Make an empty database or a copy: a copy takes milliseconds, a migration a tenth of a second."""
    name = f"quality_{next(_NUMBERS)}"
    if backend == "sqlite":
        path = folder / f"{name}.db"
        if template:
            shutil.copyfile(str(template.database), path)
        return make_url(f"sqlite:///{path}")
    server: URL = request.getfixturevalue("postgresql")
    _administer(server, f"CREATE DATABASE {name} TEMPLATE {template.database if template else 'template1'}")
    return server.set(database=name)


def _administer(server: URL, *statements: str) -> None:
    address = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement)


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
