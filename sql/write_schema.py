"""Write ``schema.sqlite.sql`` and ``schema.postgresql.sql``: the whole schema, for people to read.

    python sql/write_schema.py      (make schema)

Databases are made by the migrations. A test compares the models, the migrations and these two files.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, SetColumnComment, SetTableComment

from inspector.ledger import schema, views

_DIALECTS: dict[str, sa.Dialect] = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}
_HEADER = """\
-- The quality database's schema on {dialect}. Made by 'make schema'; do not edit.
--
-- For reading: 'weld-inspect migrate' creates and upgrades a database. Times that end in _us are UTC epoch
-- microseconds; the views show them as timestamps. History is append-only.
"""


def main() -> None:
    """Write both files beside this one."""
    for dialect in _DIALECTS:
        path = Path(__file__).parent / f"schema.{dialect}.sql"
        path.write_text(text(dialect), encoding="utf-8")


def text(dialect: str) -> str:
    """Return the whole schema as commented DDL, in an order in which it can be run."""
    paragraphs = [_HEADER.format(dialect={"sqlite": "SQLite", "postgresql": "PostgreSQL"}[dialect])]
    for table in schema.metadata.sorted_tables:
        create = str(CreateTable(table).compile(dialect=_DIALECTS[dialect])).strip()
        lines = [line.rstrip() for line in create.replace("\t", "    ").splitlines() if line.strip()]
        paragraphs.append(f"-- {table.comment}\n" + "\n".join(_commented(lines, table, dialect)) + ";")
        if dialect == "postgresql":
            paragraphs.append(_comments(table))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        paragraphs.append("".join(_compiled(CreateIndex(index), dialect) + "\n" for index in indexes))
    for statement in views.create_views(dialect):
        paragraphs.append(_outdented(statement) + ";\n")
    paragraphs += [f"{statement};" for statement in views.create_triggers(dialect)]
    return "\n".join(paragraphs) + "\n"


def _commented(lines: list[str], table: sa.Table, dialect: str) -> list[str]:
    """Add each column's comment to its line on SQLite, which stores no comments."""
    if dialect == "postgresql":
        return lines
    comments = {column.name: column.comment for column in table.columns if column.comment}
    return [
        f"{line} -- {comments[name]}" if (name := line.split()[0].strip('"')) in comments else line
        for line in lines
    ]


def _comments(table: sa.Table) -> str:
    statements = [SetTableComment(table), *(SetColumnComment(c) for c in table.columns if c.comment)]
    return "\n".join(_compiled(statement, "postgresql") for statement in statements)


def _outdented(statement: str) -> str:
    first, separator, rest = statement.partition("\n")
    return f"{first.rstrip()}{separator}{textwrap.dedent(rest).rstrip()}"


def _compiled(statement: sa.schema.DDLElement, dialect: str) -> str:
    return f"{str(statement.compile(dialect=_DIALECTS[dialect])).strip()};"


if __name__ == "__main__":
    main()
