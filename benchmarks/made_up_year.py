"""A year of inspections of an invented shop, written by the database itself: a million rows in seconds.

    python benchmarks/made_up_year.py FOLDER [--rows 60000]

It makes FOLDER/quality.db and FOLDER/config.yaml, for 'weld-inspect report NAME --config
FOLDER/config.yaml'.

One text serves both back ends; ``_WORDS`` holds the parts that they spell differently. A part has 6 seams of
20 frames, at 5 frames per second. Four frames in a row share their random number. Some parts are welded
twice, the second network comes in June, and from August on the night shift fails more often. Random numbers
are functions of the row's number, so that every run makes the same rows. They are spread more evenly than
real chance.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import sqlalchemy as sa
import typer
from sqlalchemy.engine import URL, make_url

from inspector.ledger import database, schema
from inspector.ledger.store import migrate
from inspector.records import (
    Arrival,
    FileStamp,
    Inspected,
    Judgement,
    NameParts,
    SourceFile,
    Timings,
    Verdict,
)

START_US = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z
YEAR_US = 365 * 86_400 * 1_000_000
_CALLS = itertools.count()

_WORDS = {
    "sqlite": {
        "series": "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < :rows)",
        "sha": "sha(file)",
        "day": "date({} / 1000000, 'unixepoch')",
        "heat": "zeroblob(775)",
        "json": "({})",
    },
    "postgresql": {
        "series": "WITH series AS (SELECT n FROM generate_series(1, CAST(:rows AS BIGINT)) n)",
        "sha": "encode(sha256(convert_to(CAST(file AS TEXT), 'UTF8')), 'hex')",
        "day": "to_char(to_timestamp({} / 1000000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        "heat": "decode(repeat('00', 775), 'hex')",
        "json": "CAST(({}) AS JSON)",
    },
}


def _random(salt: int, of: str = "n") -> str:
    """SQL for a number from 0 to 1 that depends on a whole number, by default the number of the row."""
    seed = f"({of}) * {7919 + salt * 104_730} % 2147483647"
    return f"({seed} * 48271 % 2147483647 * 16807 % 2147483647) / 2147483647.0"


_CLASSES = (
    "good_weld",
    "lack_of_fusion",
    "contamination",
    "misalignment",
    "lack_of_penetration",
    "burn_through",
)
_DAY_US = "CAST(86400000000 AS BIGINT)"
_INSPECTIONS = f"""
INSERT INTO inspection (
    id, station_id, model_id, settings_id, source_name, sha256, duplicate_of, camera, part, seam, pass_no,
    camera_time_us, seen_us, taken_us, inspected_us, local_day, shift, shift_day, verdict, label, confidence,
    probabilities, novelty, reason, heat, heat_height, heat_width, wait_ms, decode_ms, infer_ms, total_ms,
    batch_size, archive_path)
{{series}},
placed AS (
    SELECT n, (n - 1) / 120 AS p, (n - 1) % 120 AS frame,
        :start + (n - 1) / 120 * :part_us + (n - 1) % 120 * 200000 AS at_us,
        CASE WHEN n % 500 = 0 THEN n - 1 ELSE n END AS file,
        {_random(1, "n / 4")} AS luck, {_random(2, "n / 4")} AS kind,
        {_random(3)} AS slow, {_random(4)} AS sure
    FROM series
),
timed AS (
    SELECT placed.*, at_us / 3600000000 % 24 AS hour, substr(CAST(1000000 + p AS TEXT), 2) AS part,
        CASE WHEN at_us > :start + 150 * {_DAY_US} THEN 2 ELSE 1 END AS model_id,
        CAST(p % 2 + 1 AS TEXT) AS camera, CAST(frame / 20 + 1 AS TEXT) AS seam,
        {{day}} AS day, {{shift_day}} AS shift_day
    FROM placed
),
shifted AS (
    SELECT timed.*,
        CASE WHEN hour >= 6 AND hour < 14 THEN 'early' WHEN hour >= 14 AND hour < 22 THEN 'late'
            ELSE 'night' END AS shift,
        CASE WHEN at_us > :start + 212 * {_DAY_US} AND (hour >= 22 OR hour < 6) THEN 0.09
            ELSE 0.04 END AS rate
    FROM timed
),
judged AS (
    SELECT shifted.*,
        CASE WHEN luck < rate THEN 'FAIL' WHEN luck < rate + 0.02 THEN 'REVIEW' ELSE 'PASS' END AS verdict,
        CASE WHEN luck >= rate + 0.01 THEN 'good_weld' WHEN kind < 0.4 THEN 'lack_of_fusion'
            WHEN kind < 0.7 THEN 'contamination' WHEN kind < 0.85 THEN 'misalignment'
            WHEN kind < 0.95 THEN 'lack_of_penetration' ELSE 'burn_through' END AS label,
        CASE WHEN luck < rate OR luck >= rate + 0.02 THEN 1 - 0.3 * sure * sure * sure
            ELSE 0.4 + 0.3 * sure END AS confidence
    FROM shifted
)
SELECT n, p % :stations + 1, model_id, 1,
    'cam' || camera || '_P-' || part || '_S' || seam || '_' || CAST(at_us / 1000 AS TEXT) || '.png',
    {{sha}}, CASE WHEN file < n THEN file END, 'cam' || camera, 'P-' || part, seam,
    CASE WHEN p % 33 = 0 AND frame % 20 >= 10 THEN 2 ELSE 1 END,
    at_us, at_us + 30000, at_us, at_us + 200000, day, shift, shift_day, verdict, label, confidence,
    {{json}}, sure * sure, CASE WHEN verdict = 'REVIEW' THEN 'uncertain' END,
    CASE WHEN verdict <> 'PASS' THEN {{heat}} END, CASE WHEN verdict <> 'PASS' THEN 31 END,
    CASE WHEN verdict <> 'PASS' THEN 25 END,
    2 + 80 * slow * slow * slow, 6 + 4 * sure, 11 + 8 * kind,
    20 + 4 * sure + 8 * kind + 80 * slow * slow * slow,
    n % 8 + 1, day || '/' || verdict || '/' || CAST(n AS TEXT) || '.png'
FROM judged
"""
_PROBABILITIES = " || ', ' || ".join(
    f"'\"{name}\": ' || CAST(CASE label WHEN '{name}' THEN confidence ELSE (1 - confidence) / 5 END AS TEXT)"
    for name in _CLASSES
)
_OTHERS = [
    # the ledger: one row per image, and one image in a hundred is delivered twice
    """INSERT INTO arrival (station_id, source_name, sha256, size_bytes, inode, mtime_us, seen_us,
        recorded_us, outcome, inspection_id, path)
    SELECT station_id, source_name, sha256, 440000, id, seen_us, seen_us, inspected_us, 'inspected', id,
        archive_path
    FROM inspection ORDER BY id""",
    """INSERT INTO arrival (station_id, source_name, sha256, size_bytes, inode, mtime_us, seen_us,
        recorded_us, outcome, inspection_id, path)
    SELECT station_id, source_name, sha256, 440000, id, seen_us, seen_us, inspected_us + 60000000,
        'duplicate', id, local_day || '/duplicate/' || CAST(id AS TEXT) || '.png'
    FROM inspection WHERE id % 100 = 7 ORDER BY id""",
    """INSERT INTO quarantine (station_id, source_name, sha256, reason, detail, shift, shift_day,
        quarantined_us, path)
    SELECT station_id, 'bad' || source_name, sha256,
        CASE id % 3 WHEN 0 THEN 'truncated' ELSE 'not_an_image' END, 'made up', shift, shift_day,
        inspected_us, local_day || '/truncated/' || CAST(id AS TEXT) || '.png'
    FROM inspection WHERE id % 1000 = 3 ORDER BY id""",
    """INSERT INTO arrival (station_id, source_name, sha256, size_bytes, inode, mtime_us, seen_us,
        recorded_us, outcome, quarantine_id, path)
    SELECT station_id, source_name, sha256, 200000, id, quarantined_us, quarantined_us, quarantined_us,
        'quarantined', id, path FROM quarantine ORDER BY id""",
    # one stop and one start per day at each station
    """INSERT INTO event (station_id, kind, detail, at_us)
    SELECT station_id, CASE WHEN step = 1 THEN 'stop' ELSE 'start' END, 'made up', last_us + step * 60000000
    FROM (SELECT station_id, local_day, max(inspected_us) AS last_us
          FROM inspection GROUP BY station_id, local_day) AS days
    CROSS JOIN (SELECT 1 AS step UNION ALL SELECT 2) AS steps""",
    """INSERT INTO audit_sample (inspection_id, seed, population, drawn_us)
    SELECT id, 1, 1000, inspected_us FROM inspection WHERE verdict = 'PASS' AND id % 200 = 11 ORDER BY id""",
    # a person looks at every REVIEW, at one FAIL in four, and at the samples, and seldom disagrees
    """INSERT INTO review (inspection_id, reviewer, verdict, label, reviewed_us)
    SELECT id, CASE id % 2 WHEN 0 THEN 'ann' ELSE 'bob' END, said,
        CASE WHEN said = 'PASS' THEN 'good_weld' WHEN label = 'good_weld' THEN 'lack_of_fusion'
            ELSE label END,
        inspected_us + 3600000000
    FROM (
        SELECT id, label, inspected_us,
            CASE WHEN verdict = 'REVIEW' THEN CASE id % 3 WHEN 0 THEN 'FAIL' ELSE 'PASS' END
                WHEN id % 13 = 0 THEN CASE verdict WHEN 'FAIL' THEN 'PASS' ELSE 'FAIL' END
                ELSE verdict END AS said
        FROM inspection
        WHERE verdict = 'REVIEW' OR (verdict = 'FAIL' AND id % 4 = 0) OR (verdict = 'PASS' AND id % 200 = 11)
    ) AS reviewed
    ORDER BY id""",
]


def fill(url: URL, rows: int) -> None:
    """Write the year into a migrated, empty database."""
    backend = url.get_backend_name()
    stations = 2 if backend == "sqlite" else 8  # a shop with its own file, or a plant with a server
    words = _WORDS[backend]
    inspections = (
        _INSPECTIONS.replace("{json}", words["json"].replace("{}", f"'{{' || {_PROBABILITIES} || '}}'"))
        .replace("{series}", words["series"])
        .replace("{sha}", words["sha"])
        .replace("{day}", words["day"].format("at_us"))
        .replace("{shift_day}", words["day"].format("(at_us - 21600000000)"))  # the first shift starts at 6
        .replace("{heat}", words["heat"])
    )
    values = {"rows": rows, "start": START_US, "part_us": YEAR_US * 120 // rows, "stations": stations}
    engine = database.engine(url)
    with engine.connect() as connection:
        indexes = _in_haste(connection)
        _write_masters(connection, stations)
        connection.execute(_bound(inspections), values)
        for statement in _OTHERS:
            connection.execute(_bound(statement))
        for statement in indexes:
            connection.exec_driver_sql(statement)
        if backend == "postgresql":
            connection.exec_driver_sql("SELECT setval('inspection_id_seq', max(id)) FROM inspection")
        connection.commit()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE" if backend == "postgresql" else "PRAGMA wal_checkpoint")
    engine.dispose()


def _in_haste(connection: sa.Connection) -> list[str]:
    """Set up a bulk load; return the statements that create the indexes again afterwards."""
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.driver_connection
        driver.create_function("sha", 1, _sha, deterministic=True)
        connection.exec_driver_sql("COMMIT")  # the pragmas must run outside a transaction
        for pragma in ("foreign_keys=OFF", "cache_size=-1000000"):  # 1 GB, so that the year is made in memory
            connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.exec_driver_sql("BEGIN")
        return []
    haste = {"session_replication_role": "replica", "statement_timeout": "0", "work_mem": "'256MB'"}
    for name, value in (haste | {"maintenance_work_mem": "'1GB'", "synchronous_commit": "off"}).items():
        connection.exec_driver_sql(f"SET {name} = {value}")
    query = "SELECT indexname, indexdef FROM pg_indexes WHERE starts_with(indexname, 'ix_')"
    indexes = connection.exec_driver_sql(query).all()
    for name, _ in indexes:
        connection.exec_driver_sql(f"DROP INDEX {name}")
    return [definition.replace("%", "%%") for _, definition in indexes]  # the driver would read a placeholder


def _bound(text: str) -> sa.TextClause:
    """The text with its own parameters; the colons in JSON are no parameters."""
    return sa.text(text.replace('": ', '"\\: '))


def _sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def _write_masters(connection: sa.Connection, stations: int) -> None:
    for number in range(1, stations + 1):
        row = {"name": f"cell-{number}", "first_opened_us": START_US}
        connection.execute(schema.station.insert(), row)
    roles = {"classes": [{"name": n, "role": "defect" if n != "good_weld" else "accept"} for n in _CLASSES]}
    for number in (1, 2):
        row = {"artifact_sha256": _sha(-number), "name": "weldnet", "version": str(number)}
        connection.execute(schema.model.insert(), row | {"metadata": roles, "first_used_us": START_US})
    row = {"sha256": _sha(-9), "content": {}, "first_used_us": START_US}
    connection.execute(schema.settings.insert(), row)


def batch(number: int, size: int = 8) -> list[Inspected]:
    """Frames of a part that is being welded now, each with its own bytes."""
    now_us = time.time_ns() // 1000
    call = next(_CALLS)
    return [
        _frame(f"P-{number // 15}", f"{now_us}-{call}-{place}", now_us, number % 6) for place in range(size)
    ]


def _frame(part: str, name: str, now_us: int, seam: int) -> Inspected:
    stamp = FileStamp(device=1, inode=1, size=440_000, mtime_ns=now_us * 1000, ctime_ns=0)
    failed = seam == 0
    return Inspected(
        arrival=Arrival(Path(name), f"{part}_{name}.png", seen_us=now_us, seen_monotonic=0.0),
        source=SourceFile(stamp, hashlib.sha256(name.encode()).hexdigest()),
        name=NameParts(camera="cam1", part=part, seam=str(seam)),
        judgement=Judgement(
            verdict=Verdict.FAIL if failed else Verdict.PASS,
            label="contamination" if failed else "good_weld",
            confidence=0.9,
            probabilities={"good_weld": 0.1 if failed else 0.9, "contamination": 0.9 if failed else 0.1},
            novelty=0.1,
            heat=np.zeros((31, 25), np.uint8) if failed else None,
            reason=None,
        ),
        timings=Timings(5.0, 8.0, 15.0, 40.0, batch_size=8),
        local_day="2026-01-05",
        shift="early",
        shift_day="2026-01-05",
        inspected_us=now_us,
        final_path=f"2026-01-05/PASS/{name}.png",
    )


def main(
    folder: Annotated[Path, typer.Argument(help="the folder to create")],
    rows: Annotated[int, typer.Option(min=1_000, help="number of inspections to make")] = 60_000,
) -> None:
    """Make a year of inspections to try the reports on."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(
        "station: cell-1\ndatabase_url: sqlite:///quality.db\n", encoding="utf-8"
    )
    url = make_url(f"sqlite:///{folder / 'quality.db'}")
    migrate(url)
    fill(url, rows)
    typer.echo(f"{rows} made-up inspections of 2025 in {folder / 'quality.db'}")


if __name__ == "__main__":
    typer.run(main)
