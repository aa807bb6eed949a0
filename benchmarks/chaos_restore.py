"""A ledger that is put back to an earlier backup: PostgreSQL as a folder or as a dump, and a SQLite file."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos_books import BookedStation
from chaos_leg import Leg, Scenario
from clusters import Cluster, cluster
from sqlalchemy.engine import URL, make_url

from inspector.ledger import sqlite
from inspector.ledger.store import Store, migrate

DATABASE = "quality"

# --- PostgreSQL -------------------------------------------------------------------------------------------


def restored_postgresql(leg: Leg) -> None:
    """Put PostgreSQL back to an earlier backup while the daemon works, is idle, or is killed.

    In a third of the rounds the backup is from before the station had a row, or from a time when another
    station had the first rows. So station, artifact and settings have other numbers afterwards.
    """
    with cluster() as server:
        server.execute(f"CREATE DATABASE {DATABASE}")
        ways = [_Folders(leg, server), _Dumps(leg, server)]
        url = server.url(DATABASE)
        with BookedStation(leg, url) as station:
            for _ in leg.each_round():
                _restore_once(leg, station, leg.chance.choice(ways), url)
                station.audit(url)
            station.finish(url)


def _restore_once(leg: Leg, station: BookedStation, way: _Folders | _Dumps, url: URL) -> None:
    chance = leg.chance
    name = chance.choice(["first", "elsewhere", "latest", "latest", "latest", "latest"])
    leg.pause(1.0)
    if name == "latest":
        way.back_up(name)
        leg.pause(1.0)  # rows that the backup lacks
    leg.counts[type(way).__name__.strip("_").lower()] += 1
    with station.sometimes_idle() as idle:
        moment = chance.choice(["before", "meanwhile", "after", None, None, None])
        if moment == "before":
            station.kill()

        def meanwhile() -> None:
            if moment == "meanwhile":
                station.kill()
            if way.may_start_meanwhile and chance.random() < 0.5:
                station.launch_if_dead()
            leg.pause(0.3 if idle else 1.0)

        with way.restored(name, meanwhile) as old:
            if moment == "after":
                station.kill()
            station.launch_if_dead()
            station.books.put_aside(old, url)


class _Folders:
    """Backups as copies of the whole data folder; the server is stopped while one is put back."""

    may_start_meanwhile = True  # a server that is away is an outage, at the start, too

    def __init__(self, leg: Leg, server: Cluster) -> None:
        self._leg, self._server = leg, server
        self._aside = server.clone("aside")
        self._backups = {name: server.clone(name) for name in ("first", "elsewhere", "latest")}
        migrate(server.url(DATABASE))
        self.back_up("first")
        server.execute(f"CREATE DATABASE another TEMPLATE {DATABASE}")
        _record_another_station(server.url("another"))
        _exchange_names(server, "another", DATABASE)
        self.back_up("elsewhere")
        _exchange_names(server, "another", DATABASE)
        server.execute("DROP DATABASE another")

    def back_up(self, name: str) -> None:
        """Copy the data while the server works."""
        self._server.copy_to(self._backups[name])

    @contextlib.contextmanager
    def restored(self, name: str, meanwhile: Callable[[], None]) -> Iterator[URL]:
        """Restore a backup; within the block the old database can be read."""
        self._server.stop(self._leg.chance.choice(["fast", "immediate"]))
        self._server.exchange(self._backups[name], self._aside)
        meanwhile()
        self._server.start()
        self._aside.start()
        yield self._aside.url(DATABASE)
        self._aside.stop("immediate")


class _Dumps:
    """Backups by ``pg_dump``; they are put back into a new database while the server works."""

    may_start_meanwhile = False  # a database that is not there is a mistake that ends a start

    def __init__(self, leg: Leg, server: Cluster) -> None:
        self._leg, self._server = leg, server
        self._folder = server.clone("dumps").folder
        self.back_up("first")
        server.execute(f"CREATE DATABASE another TEMPLATE {DATABASE}")
        _record_another_station(server.url("another"))
        self.back_up("elsewhere", "another")
        server.execute("DROP DATABASE another")

    def back_up(self, name: str, database: str = DATABASE) -> None:
        """Dump the database while the station works."""
        dump = str(self._folder / name)
        self._server.run("pg_dump", *self._server.connection, "--format=custom", "--file", dump, database)

    @contextlib.contextmanager
    def restored(self, name: str, meanwhile: Callable[[], None]) -> Iterator[URL]:
        """Restore a backup; within the block the old database can be read."""
        server = self._server
        server.execute(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false", _end_sessions(DATABASE))
        _rename(server, DATABASE, "aside")
        meanwhile()
        server.execute(f"CREATE DATABASE {DATABASE} TEMPLATE template0")
        words = "--single-transaction", "--dbname", DATABASE, str(self._folder / name)
        server.run("pg_restore", *server.connection, *words)
        server.execute("ALTER DATABASE aside ALLOW_CONNECTIONS true")
        yield server.url("aside")
        server.execute("DROP DATABASE aside WITH (FORCE)")


def _record_another_station(url: URL) -> None:
    """Give the first numbers of station, artifact and settings to another station."""
    with Store.open(url, "elsewhere", seam_gap_s=300) as store:
        store.in_force(
            metadata="{}",
            artifact_sha256="0" * 64,
            name="other",
            version="1",
            settings_json='{"station": "elsewhere"}',
        )


def _end_sessions(database: str) -> str:
    return f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{database}'"


def _rename(server: Cluster, old: str, new: str) -> None:
    server.execute(_end_sessions(old), f"ALTER DATABASE {old} RENAME TO {new}")


def _exchange_names(server: Cluster, one: str, other: str) -> None:
    for old, new in ((one, "between"), (other, one), ("between", other)):
        _rename(server, old, new)


# --- SQLite -----------------------------------------------------------------------------------------------


def replaced_ledger(leg: Leg) -> None:
    """Replace the SQLite file by an earlier copy, delete it, or overwrite it in place, under the daemon.

    Later the file itself is put back, or the service is stopped and an earlier copy put there, as the
    daemon's message says.
    """
    file = leg.folder / "quality.db"
    url = make_url(f"sqlite:///{file}")
    with BookedStation(leg, url) as station:
        for _ in leg.each_round():
            leg.pause(1.0)
            copy = leg.folder / "copy.db"
            _back_up(file, copy)
            leg.pause(2.0)  # rows that the copy lacks, with a checkpoint
            with station.sometimes_idle() as idle:
                harm = leg.chance.choice([_replace, _delete, _overwrite])
                aside = leg.folder / "aside"
                with station.rig.frozen():
                    _keep(file, aside)
                    if harm is _overwrite and _last_arrival(copy) >= _last_arrival(file, itself=True):
                        harm = _replace  # all that such a copy lacks is in the -wal file: nothing is lost
                    harm(file, copy)
                leg.counts[harm.__name__.strip("_")] += 1
                if idle:
                    leg.pause(0.3)
            leg.pause(2.0)  # images wait
            if harm is not _overwrite and leg.chance.random() < 0.5:
                _put_the_old_one_back(leg, station, aside, file)
            else:
                _put_the_copy_there(leg, station, copy, file)
                station.books.put_aside(make_url(f"sqlite:///{aside / file.name}"), url)
            station.audit(url)
            _require_sound(leg, file)
        station.finish(url)


def _back_up(file: Path, copy: Path) -> None:
    """Copy a database that is in use, as docs/how-to/back-up.md says."""
    copy.unlink(missing_ok=True)
    connect = sqlite.driver().connect
    with (
        contextlib.closing(connect(f"file:{file}?mode=ro", uri=True)) as source,
        contextlib.closing(connect(str(copy))) as target,
    ):
        source.backup(target)


def _keep(file: Path, aside: Path) -> None:
    """Keep the file itself by another name, and the state of file and log for the books."""
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    for path in (file, _wal(file)):
        if path.exists():
            shutil.copyfile(path, aside / path.name)
    (aside / "itself").hardlink_to(file)


def _last_arrival(file: Path, *, itself: bool = False) -> int:
    """Return the newest arrival of a database.

    ``itself`` leaves out its -wal file; -1 if the daemon was stopped in the middle of a checkpoint. To
    overwrite the file in those milliseconds is not noticed.
    """
    words = "mode=ro&immutable=1" if itself else "mode=ro"
    with contextlib.closing(sqlite.driver().connect(f"file:{file}?{words}", uri=True)) as connection:
        try:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM arrival").fetchone()[0])
        except sqlite.driver().DatabaseError:
            if itself:
                return -1
            raise


def _replace(file: Path, copy: Path) -> None:
    shutil.copyfile(copy, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


def _delete(file: Path, _copy: Path) -> None:
    file.unlink()


def _overwrite(file: Path, copy: Path) -> None:
    shutil.copyfile(copy, file)


def _put_the_old_one_back(leg: Leg, station: BookedStation, aside: Path, file: Path) -> None:
    if leg.chance.random() < 0.3:
        station.kill()
    (aside / "itself").replace(file)
    station.launch_if_dead()
    leg.counts["put back"] += 1


def _put_the_copy_there(leg: Leg, station: BookedStation, copy: Path, file: Path) -> None:
    if leg.chance.random() < 0.5:
        station.kill()
    else:
        station.rig.stop()
    for path in (_wal(file), file.with_name(f"{file.name}-shm")):
        path.unlink(missing_ok=True)
    _replace(file, copy)
    station.rig.launch()


def _require_sound(leg: Leg, file: Path) -> None:
    with contextlib.closing(sqlite.driver().connect(f"file:{file}?mode=ro", uri=True)) as connection:
        said = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    leg.check([] if said == ["ok"] else [("database", f"integrity_check says {said[:3]}")])


def _wal(file: Path) -> Path:
    return file.with_name(f"{file.name}-wal")


SCENARIOS = {
    "restored-postgresql": Scenario(restored_postgresql, "PostgreSQL put back to a backup", 50, 25),
    "replaced-ledger": Scenario(replaced_ledger, "SQLite file replaced, deleted, overwritten", 50, 25),
}
