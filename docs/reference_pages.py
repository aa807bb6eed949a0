"""Writes the reference pages that come from the code: settings, commands, reports, tables and metrics.

    python docs/reference_pages.py      (make reference)

Each page has one source: the commented example settings with the types of ``Settings``, the commands' own
help, the heads of the SQL reports, the comments of the tables, the metrics' registry. A test compares the
pages with their sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
import typer
from sqlalchemy.dialects import sqlite

from inspector import resources
from inspector.commands.cli import app as weld_inspect
from inspector.ledger import schema, views
from inspector.monitoring.metrics import Metrics
from inspector.records import ArtifactInUse
from inspector.reports import definitions
from inspector.settings.descriptions import descriptions
from trainer.commands.cli import app as weld_train

FOLDER = Path(__file__).parent / "reference"
_NOTICE = "<!-- Written by `make reference`; edit the source that the page names. -->\n"


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def pages() -> dict[str, str]:
    """File name and text of each page."""
    return {
        "settings.md": settings(),
        "commands.md": commands(),
        "reports.md": reports(),
        "tables.md": tables(),
        "metrics.md": metrics(),
    }


# --- settings --------------------------------------------------------------------------------------------


def settings() -> str:
    """One section per key of the settings file, in the order of the commented example."""
    sections = []
    for key, about in descriptions().items():
        section = [f"## `{key}`", "", _paragraphs(about.comment), ""]
        section += [f"- Values: {about.values}", f"- In the example: `{about.example}`"]
        section += [f"- In the environment: `{about.variable}`", ""]
        sections.append("\n".join(section))
    head = (
        "# Settings\n\n"
        "One YAML file per station, checked by `weld-inspect check --config FILE`. A key in the\n"
        "environment wins over the file. Relative paths, SQLite's too, count from the file's own folder.\n"
        "The source of this page is\n"
        "[`deploy/config.example.yaml`](../../deploy/config.example.yaml), which is also the file to copy.\n"
    )
    return "\n".join([_NOTICE, head, *sections])


def _paragraphs(lines: list[str]) -> str:
    """Comment lines as Markdown: indented lines are code."""
    text = "\n".join(f"\n    {line.strip()}\n" if line.startswith("  ") else _escaped(line) for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n")


# --- commands --------------------------------------------------------------------------------------------


def commands() -> str:
    """Usage, help and options of every command of both programs."""
    text = [_NOTICE, "# Commands\n", "Each command prints the same with `--help`.\n"]
    for name, app in (("weld-inspect", weld_inspect), ("weld-train", weld_train)):
        text += [f"## {name}\n", f"{app.info.help}\n"]
        root = typer.main.get_command(app)
        for path, command in _walk(root, (name,)):
            text.append(_command(path, command))
    return "\n".join(text)


def _walk(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, child in sorted(getattr(command, "commands", {}).items()):
        if not child.hidden:
            yield (*path, name), child
            yield from _walk(child, (*path, name))


def _command(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path))
    usage = " ".join([*path, *command.collect_usage_pieces(context)])
    lines = [f"### {' '.join(path)}", "", f"    {usage}", "", _escaped(_help_text(command)), ""]
    rows = [
        record for parameter in command.get_params(context) if (record := parameter.get_help_record(context))
    ]
    if rows:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{_cell(name)}` | {_escaped(_cell(text))} |" for name, text in rows]
        lines.append("")
    return "\n".join(lines)


def _help_text(command: click.Command) -> str:
    return "\n\n".join(
        " ".join(part.split()) for part in (command.help or "").replace("\f", "").split("\n\n")
    )


# --- reports ---------------------------------------------------------------------------------------------


def reports() -> str:
    """The question, the columns and the notes of every report, from the head of its SQL file."""
    text = [
        _NOTICE,
        "# Reports\n",
        "Run one with `weld-inspect report NAME --config FILE`. The texts come from the heads of the files\n"
        "in `sql/reports/`, which also run in any SQL client with their parameters\n"
        "bound.\n",
    ]
    for name, question in definitions.names().items():
        text.append(f"## {name}\n\n{_escaped(question)}\n")
        columns, notes = _head(name)
        text += ["| column | meaning |", "|---|---|"]
        text += [f"| `{column}` | {_escaped(_cell(about))} |" for column, about in columns]
        text += ["", *(f"{_escaped(note)}\n" for note in notes)]
    return "\n".join(text)


def _head(name: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Columns with their meaning, and the paragraphs after them."""
    lines = (resources.folder("sql") / "reports" / f"{name}.sql").read_text(encoding="utf-8").splitlines()
    comments = takewhile(lambda line: line.startswith("--"), lines)  # later ones explain the SQL
    head = [line.removeprefix("--").removeprefix(" ") for line in comments]
    paragraphs = "\n".join(head).split("\n\n")[1:]
    columns: list[tuple[str, str]] = []
    notes: list[str] = []
    for paragraph in paragraphs:
        for line in paragraph.splitlines() if not columns or re.match(r"\w+\s{2,}\S", paragraph) else ():
            if match := re.match(r"(\w+(?:, \w+)*)\s{2,}(\S.*)", line):
                columns.append((match[1], match[2]))
            elif columns:
                columns[-1] = (columns[-1][0], f"{columns[-1][1]} {line.strip()}")
        if not re.match(r"\w+(?:, \w+)*\s{2,}\S", paragraph):
            notes.append(" ".join(paragraph.split()))
    return columns, notes


# --- tables and metrics ----------------------------------------------------------------------------------


def tables() -> str:
    """Every table with its columns, and the names of the views."""
    text = [
        _NOTICE,
        "# Tables and views\n",
        "The same on SQLite and PostgreSQL. Times that end in `_us` are UTC epoch microseconds; the\n"
        "views show timestamps. History is append-only: triggers refuse changes. The full DDL is in\n"
        "[`sql/schema.sqlite.sql`](../../sql/schema.sqlite.sql) and\n"
        "[`sql/schema.postgresql.sql`](../../sql/schema.postgresql.sql).\n",
    ]
    for table in schema.metadata.sorted_tables:
        text += [
            f"## {table.name}\n",
            f"{_escaped(table.comment or '')}\n",
            "| column | type | meaning |",
            "|---|---|---|",
        ]
        text += [_column(column) for column in table.columns]
        text.append("")
    text += ["## Views\n", "One row per row of the table of the same name, with names for numbers.\n"]
    text += [
        f"- `{view}`" for view in re.findall(r"CREATE VIEW (\w+)", "\n".join(views.create_views("sqlite")))
    ]
    return "\n".join([*text, ""])


def _column(column: sa.Column[Any]) -> str:
    kind = str(column.type.compile(dialect=sqlite.dialect())).lower()
    null = ", may be null" if column.nullable else ""
    return f"| `{column.name}` | {kind}{null} | {_escaped(_cell(column.comment or ''))} |"


def metrics() -> str:
    """Every metric that ``/metrics`` serves, apart from the process's own."""
    text = [
        _NOTICE,
        "# Metrics\n",
        "With `metrics_port` set, the daemon serves `/metrics` in Prometheus's text format on 127.0.0.1,\n"
        "with the usual `process_*` metrics beside these. Alert rules and a dashboard are in\n"
        "`deploy/`.\n",
        "| metric | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    registry = Metrics(ArtifactInUse("name", "1", "0" * 64)).registry
    for metric in sorted(registry.collect(), key=lambda metric: metric.name):
        if metric.name.startswith("weldnet_"):
            labels = sorted({key for sample in metric.samples for key in sample.labels} - {"le"})
            name = metric.name + ("_total" if metric.type == "counter" else "")
            text.append(
                f"| `{name}` | {metric.type} | {', '.join(labels)} | {_escaped(metric.documentation)} |"
            )
    return "\n".join([*text, ""])


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: angle brackets are no tags."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
