"""A station's rows at a real central PostgreSQL, and verdicts that come back from there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from catalogues import change, rows_of
from forwarders import add_images, content, send, work_a_shift
from ledger_samples import in_force, inspected
from poolers import pgbouncer
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from inspector import resources
from inspector.commands.cli import app
from inspector.errors import SchemaError, SettingsError, StoreRefused, StoreUnavailable
from inspector.forwarding.centre import Centre
from inspector.ledger import changes, database, forwarded, schema
from inspector.ledger.store import Store
from inspector.monitoring.waiting_rows import WaitingRows
from inspector.records import Review, SeamReview, Verdict
from inspector.reports import definitions
from inspector.reports.query import Query, run
from inspector.settings import Settings
from inspector.upkeep import status


@pytest.fixture
def centre(url_of: Callable[..., URL]) -> URL:
    """A central database without rows."""
    return url_of("postgresql")


def rows_at(url: URL) -> dict[str, int]:
    """The numbers of rows in the tables of a database, without that of the batches."""
    return {table.name: len(rows_of(url, f"SELECT id FROM {table.name}")) for table in forwarded.INSTANTS}


def test_every_row_arrives_as_it_was(url: URL, centre: URL) -> None:
    """The centre has each station's rows of all tables, in their order and with all they refer to."""
    for station in ("cell-1", "cell-2"):
        work_a_shift(url, station)
    for station in ("cell-1", "cell-2"):
        done = send(url, centre, station)
        assert (done.sent > 20, done.behind) == (True, 0)
        assert content(centre, station) == content(url, station)
        assert all(content(centre, station).values()), "every table has rows"
    assert rows_at(centre) == rows_at(url)
    assert len(rows_of(centre, "SELECT id FROM model")) == len(rows_of(centre, "SELECT id FROM settings")) * 2
    assert send(url, centre).sent == 0


def test_reports_at_the_centre_are_those_of_the_station(url_of: Callable[..., URL], centre: URL) -> None:
    """Each report on one of two stations says at the centre the same as in the station's own database."""
    own = {station: url_of("sqlite") for station in ("cell-1", "cell-2")}
    for station, url in own.items():
        work_a_shift(url, station)
        send(url, centre, station)
    for name in definitions.names().keys() - {"fleet"}:  # which compares a station with the others
        said = run(own["cell-1"], Query(name, station="cell-1")).rows
        assert run(centre, Query(name, station="cell-1")).rows == said, name


def test_a_repetition_adds_nothing(url: URL, centre: URL) -> None:
    """A station that begins at its first row again, as after the loss of its position, adds no row."""
    work_a_shift(url, "cell-1")
    first = send(url, centre)
    before = rows_at(centre)
    again = {"station_id": 1, "positions": {}, "returned": {}, "sent": 0, "behind": 0, "at_us": 1}
    for positions in ({}, {"inspection": [1, 7]}, {"event": [999, 7]}):  # none; those of another ledger
        row = again | {"positions": positions}
        change(centre, lambda connection, row=row: connection.execute(schema.forwarded.insert(), row))
        assert send(url, centre).sent == first.sent
        assert rows_at(centre) == before


def test_a_pooler_may_share_its_connections(url_of: Callable[..., URL], centre: URL) -> None:
    """Two forwarders of each of three stations, through PgBouncer in transaction mode, send each row once."""
    own = {f"cell-{n}": url_of("sqlite") for n in range(3)}
    for station, url in own.items():
        work_a_shift(url, station)
        add_images(url, station, 1200)
    with pgbouncer(centre, "transaction") as pooled, ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda station: send(own[station], pooled, station), [*own, *own]))
    assert all(one.behind == 0 for one in done)
    for station, url in own.items():
        assert content(centre, station) == content(url, station)
    assert sum(one.sent for one in done) == sum(sum(rows_at(url).values()) for url in own.values())


def test_verdicts_of_the_centre_come_back_once(url: URL, centre: URL) -> None:
    """A verdict that a person gave at the centre counts at its station, for a PLC too, and stays there."""
    work_a_shift(url, "cell-1")
    send(url, centre)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        before = changes.newest(connection)[0]
    number = rows_of(centre, "SELECT id FROM inspection WHERE source_name = '%FF.png'")[0].id
    with Store.open(centre, "cell-1", seam_gap_s=300) as store:
        store.record([inspected("of the centre's own.png")], in_force(store))
        said = [
            Review(number, "eve", Verdict.FAIL, "a pore", key="k"),
            SeamReview(number, "eve", Verdict.FAIL),
        ]
        said.append(
            Review(max(row.id for row in rows_of(centre, "SELECT id FROM inspection")), "eve", Verdict.PASS)
        )
        store.record_reviews(said)
    at_centre = rows_at(centre)
    assert [send(url, centre).sent for _ in range(3)] == [0, 0, 0]
    assert rows_at(centre) == at_centre
    with database.reading(url) as engine, database.transaction(engine) as connection:
        query = changes.next_rows(before, "cell-1", 100, since_us=0)
        [for_the_plc] = connection.execute(query).mappings()
    assert (for_the_plc["source_name"], for_the_plc["verdict"], for_the_plc["reviewer"]) == (
        "%FF.png",
        "FAIL",
        "eve",
    )
    final = rows_of(url, "SELECT final_verdict, reviewer FROM v_inspection WHERE source_name = '%FF.png'")
    assert [tuple(row) for row in final] == [("FAIL", "eve")]
    assert len(rows_of(url, "SELECT id FROM seam_review WHERE reviewer = 'eve'")) == 1


def test_a_name_belongs_to_one_database(url_of: Callable[..., URL], centre: URL) -> None:
    """A second database under a station's name is refused while the first one sends, and goes on after it."""
    own, other = url_of("sqlite"), url_of("sqlite")
    add_images(own, "cell-1", 3)
    add_images(other, "cell-1", 5, first=2)
    change(other, lambda c: c.exec_driver_sql("INSERT INTO event VALUES (1, 1, 'start', '', 5, NULL)"))
    assert send(own, centre).sent == 6
    with pytest.raises(StoreUnavailable, match="another database sends as station cell-1, last"):
        send(other, centre)
    long_ago = (
        "INSERT INTO forwarded (station_id, positions, returned, sent, behind, at_us)"
        " SELECT station_id, positions, returned, 0, 0, 1 FROM forwarded ORDER BY id DESC LIMIT 1"
    )
    change(centre, lambda connection: connection.exec_driver_sql(long_ago))
    assert send(other, centre).sent == 11
    assert rows_at(centre)["inspection"] == 7, "both have the image 2.png"


def test_the_centre_may_be_a_version_ahead(url: URL, centre: URL) -> None:
    """A centre of the next revision takes the rows; one of a later one, an old one or none is refused."""
    work_a_shift(url, "cell-1")
    next_one = "ALTER TABLE inspection ADD COLUMN more TEXT; ALTER TABLE review DROP COLUMN is_blind CASCADE"
    change(centre, lambda connection: connection.exec_driver_sql(next_one))
    [(own,)] = rows_of(centre, "SELECT version_num FROM alembic_version")
    ahead, far_ahead = (f"{int(own) + steps:04}" for steps in (1, 2))
    for revision, says in ((far_ahead, "much newer program"), ("0011", "too old; run 'weld-inspect migrate")):
        stamp = f"UPDATE alembic_version SET version_num = '{revision}'"
        change(centre, lambda connection, stamp=stamp: connection.exec_driver_sql(stamp))
        with pytest.raises(SchemaError, match=says):
            send(url, centre)
    change(centre, lambda c: c.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{ahead}'"))
    assert send(url, centre).behind == 0
    assert rows_at(centre) == rows_at(url)


def test_the_command_says_what_is_wrong(url_of: Callable[..., URL], tmp_path: Path) -> None:
    """Without central_url or schema it ends with 2, without a server with 1; --json has the three figures."""
    own, centre = url_of("sqlite"), url_of("postgresql", migrated=False)
    add_images(own, "cell-1", 3)
    config = tmp_path / "config.yaml"

    def answer_to(central_url: str | None, *words: str) -> tuple[int, str]:
        settings = {"station": "cell-1", "database_url": str(own), "central_url": central_url}
        config.write_text(yaml.safe_dump(settings))
        done = CliRunner().invoke(app, ["forward", "--once", *words, "--config", str(config)])
        error = done.exception
        return getattr(error, "exit_status", done.exit_code), done.stdout or str(error)

    known = centre.render_as_string(hide_password=False)
    nowhere = f"postgresql+psycopg:///quality?host={tmp_path}"
    assert answer_to(None) == (
        2,
        f"{config}: 'central_url' is not set, so there is nowhere to forward to; set it",
    )
    assert answer_to(str(own))[0] == 2
    status, text = answer_to(known)
    assert (status, "has no schema; run 'weld-inspect migrate" in text) == (2, True)
    status, text = answer_to(nowhere)
    assert (status, "database outage" in text, "\n" in text) == (1, True, False)
    from inspector.ledger.store import migrate

    migrate(centre)
    status, text = answer_to(known, "--json")
    figures = json.loads(text)
    assert (status, set(figures)) == (0, {"sent", "behind", "seconds"})
    assert (figures["sent"], figures["behind"]) == (6, 0)
    with pytest.raises(SettingsError, match="is the station's own database_url"):
        from inspector.settings import load

        same = {"station": "a", "database_url": known, "central_url": known}
        config.write_text(yaml.safe_dump(same))
        load(config)


def test_a_forwarder_may_only_add(url_of: Callable[..., URL], centre: URL) -> None:
    """The account of the role weldnet_forwarder sends a station's rows, and changes and removes none."""
    own, user = url_of("sqlite"), centre.set(username="cell_1_forward")
    work_a_shift(own, "cell-1")
    roles = (resources.folder("sql") / "roles.sql").read_text(encoding="utf-8")
    create = "CREATE USER cell_1_forward IN ROLE weldnet_forwarder"
    for statement in (roles, roles, create):  # users run the file again after each migrate
        change(centre, lambda connection, sql=statement: connection.exec_driver_sql(sql))
    try:
        assert send(own, user).behind == 0
        assert content(centre, "cell-1") == content(own, "cell-1")
        at_centre = Centre(user, "cell-1")
        at_centre.open()
        assert at_centre.missing_rights() == []
        change(centre, lambda it: it.exec_driver_sql("REVOKE INSERT ON review FROM weldnet_forwarder"))
        assert at_centre.missing_rights() == ["review"]
        at_centre.close()
        verbs = ("DELETE FROM {}", "UPDATE {} SET id = id", "TRUNCATE {} CASCADE", "DROP TABLE {}")
        for statement in (verb.format(table) for verb in verbs for table in schema.metadata.tables):
            with pytest.raises(StoreRefused):
                change(user, lambda connection, sql=statement: connection.exec_driver_sql(sql))
    finally:
        change(centre, lambda connection: connection.exec_driver_sql("DROP USER cell_1_forward"))


def test_a_station_that_never_ran_has_nothing_to_send(url: URL, centre: URL) -> None:
    """A forwarder that is started before its station waits for it, and adds no row."""
    done = send(url, centre)
    assert (done.sent, done.behind) == (0, 0)
    assert rows_of(centre, "SELECT id FROM station") == []


def test_the_station_shows_what_waits(url_of: Callable[..., URL], centre: URL, tmp_path: Path) -> None:
    """Metrics and status say how many rows wait, also while no forwarder runs; after one, none waits."""
    own, waiting = url_of("sqlite"), WaitingRows("cell-1")
    settings = Settings(station="cell-1", database_url=str(own), central_url="postgresql+psycopg:///x")
    settings = settings.anchored(tmp_path)

    def shown() -> tuple[float, bool, str]:
        with database.reading(own) as engine, database.transaction(engine) as connection:
            waiting.look(connection)
        [line] = [line.text for line in status.lines(settings) if line.name == "centre"]
        return waiting.rows(), waiting.seconds() > 3600, line

    add_images(own, "cell-1", 3)
    rows, is_late, line = shown()
    assert (rows, is_late) == (6, True)
    assert re.fullmatch(r"6 rows wait since 2026-01-05 08:00:01; last batch: never", line)
    send(own, centre)
    rows, is_late, line = shown()
    assert (rows, is_late) == (0, False)
    assert re.fullmatch(r"0 rows wait; last batch: 20..-.*", line)


def test_what_waits_is_counted(url: URL) -> None:
    """The rows of a station after its position are counted, alone in its database or beside others."""
    for station in ("cell-1", "cell-2"):
        add_images(url, station, 4)
        with database.reading(url) as engine, database.transaction(engine) as connection:
            first = rows_of(url, "SELECT inspected_us FROM inspection WHERE id = 1")[0].inspected_us
            assert forwarded.waiting(connection, 1, {}) == (8, first)
            positions = {"inspection": [4, 0], "arrival": [3, 0]}
            assert forwarded.waiting(connection, 1, positions) == (1, first + 3)
            assert forwarded.waiting(connection, 1, {"inspection": [4, 0], "arrival": [4, 0]}) == (0, None)
