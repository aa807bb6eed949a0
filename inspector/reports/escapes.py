"""The report ``escapes`` in words: escapes by confidences and by audits, and an alarm if they part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from inspector.reports.page.words import Words, printable

_ROUNDED = 1e-6  # images: the report's shares are rounded, and a whole number stays one


def in_words(rows: Sequence[Mapping[str, Any]], words: Words) -> str | None:
    """Return a sentence or two on each artifact; None without rows.

    Args:
        rows: the rows of the report ``escapes``.
        words: the language.
    """
    return " ".join(_artifact(row, words) for row in rows) or None


def alarms(rows: Sequence[Mapping[str, Any]], words: Words) -> list[str]:
    """Return a line for each artifact whose audits contradict its confidences."""
    return [
        words(f"escapes.alarm_{row['alarm']}", model=_name(row))
        for row in rows
        if row["alarm"] in ("more", "fewer")
    ]


def _artifact(row: Mapping[str, Any], words: Words) -> str:
    passed = row["passed"]
    values = {
        "model": _name(row),
        "passed": words.number(passed),
        "low": words.number(row["expected_low"]),
        "high": words.number(row["expected_high"]),
        "n": words.number(row["escapes"]),
        "of_n": words.number(row["audited"]),
        "least": words.number(math.floor(row["low_share"] * passed + _ROUNDED)),
        "most": words.number(math.ceil(row["high_share"] * passed - _ROUNDED)),
    }
    compared = f"escapes.{row['alarm'] or 'unaudited'}"
    keys = ["escapes.expected", *(["escapes.audited"] if row["alarm"] else []), compared]
    if row["calibrated"] == 0:
        keys.append("escapes.uncalibrated")
    return "".join(words(key, **values) for key in keys)


def _name(row: Mapping[str, Any]) -> str:
    return printable(f"{row['model']} {row['version']} ({row['artifact']})")
