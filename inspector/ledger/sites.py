"""Sites of stations: a name such as ``north/cell-1`` puts a station below the site ``north``.

The reports in ``sql/reports`` choose stations by the same rule: names from ``north/`` to before
``north0``, since 0 follows the slash in the order of bytes, in which both databases sort names. No
``LIKE``: it takes ``_`` and ``%`` for any characters, and on SQLite capital letters for small ones. And
no ``substr``: PostgreSQL knows from its statistics how few names are in a range, but not how few have a
beginning, and its plans for one station were slower.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from inspector.ledger.schema import station as stations


def chosen(name: str) -> sa.ColumnElement[bool]:
    """Return the condition for the station of this name and all stations below it."""
    below = sa.and_(stations.c.name >= f"{name}/", stations.c.name < f"{name}0")
    return sa.or_(stations.c.name == name, below)


def is_chosen(station: str, name: str) -> bool:
    """Return whether a station has this name, or is below it."""
    return station == name or station.startswith(f"{name}/")


def of(names: Iterable[str]) -> list[str]:
    """Return the sites of these stations, those of sites too, in the order of their names."""
    parts = (name.split("/") for name in names)
    return sorted({"/".join(path[:level]) for path in parts for level in range(1, len(path))})
