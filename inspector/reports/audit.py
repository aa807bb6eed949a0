"""The report ``agreement`` in words: how many defects escape at most, and how far two readers agree.

An audit is a PASS image of a random sample that a person has decided. The upper end of the report's interval
(Wilson 1927) is the largest share of defects that the audits leave possible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from inspector.reports.page.words import Words

_Z = 1.959963984540054  # 95% between both ends, as in agreement.sql
_FIRST_TARGET = 0.01  # a share of escapes that a first sample of a few hundred images can prove


def in_words(rows: Sequence[Mapping[str, Any]], words: Words) -> str | None:
    """Return what the audits of these rows prove, and how far two blind readers agree, if there were two.

    None if the period has no PASS image.

    Args:
        rows: the rows of the report ``agreement``.
        words: the language.
    """
    found = [row for row in rows if row["measure"] == "escape"]
    if not found or not found[0]["population"]:
        return None
    return " ".join(filter(None, (_escapes(found[0], words), _readers(rows, words))))


def _escapes(row: Mapping[str, Any], words: Words) -> str:
    """What the audits prove, and how many more would prove more."""
    escapes, audited, population = (row[column] or 0 for column in ("n", "of_n", "population"))
    high = row["high_share"] if audited else 1.0
    target = _next_target(high) if audited else _FIRST_TARGET
    more, left = clean_audits_needed(escapes, audited, target), population - audited
    values = {
        "n": words.number(escapes),
        "of_n": words.number(audited),
        "high": _upper_limit(words, high),
        "target": words.share(target, max(0, -round(math.log10(target * 100)))),
        "more": words.number(more),
        "left": words.number(left),
    }
    if not audited:
        return words("audit.none", **values)
    found_text = words("audit.one" if escapes == 1 else "audit.several", **values)
    proved = words("audit.nothing" if escapes == audited else "audit.proved", **values)
    return found_text + proved + words("audit.more" if more <= left else "audit.too_few", **values)


def _readers(rows: Sequence[Mapping[str, Any]], words: Words) -> str | None:
    """How far two readers who had not seen the station's verdict agree; None if no image had two."""
    by_measure = {row["measure"]: row for row in rows}
    agreed, kappa = (by_measure.get(measure) for measure in ("readers", "readers_kappa"))
    if agreed is None:
        return None
    counts = {"n": words.number(agreed["n"]), "of_n": words.number(agreed["of_n"])}
    if kappa is None:
        return words("audit.readers_alike", **counts)
    ends = {end: words.number(kappa[f"estimated_{end}"], 2) for end in ("low", "high")}
    return words("audit.readers", kappa=words.number(kappa["kappa"], 2), **counts, **ends)


def clean_audits_needed(escapes: int, audited: int, target: float) -> int:
    """Return how many more audits without a defect bring Wilson's upper end below a share; 0 if it is there.

    The upper end for x of N is below t if and only if (tN - x)² > z² t (1 - t) N and tN > x. The larger root
    of this quadratic in N is the number of audits to exceed.
    """
    spread = _Z * _Z * target * (1 - target)
    middle = 2 * target * escapes + spread
    root = (middle + math.sqrt(middle * middle - (2 * target * escapes) ** 2)) / (2 * target * target)
    return max(0, math.floor(root) + 1 - audited)


def _next_target(high: float) -> float:
    """The next lower power of ten: from 2.4% to 1%, from 1% to 0.1%."""
    target = 10.0 ** math.floor(math.log10(high))
    return target if target < high else target / 10


def _upper_limit(words: Words, share: float) -> str:
    """A share as percent to two significant digits, rounded up, so that it stays an upper limit."""
    digits = max(0, 1 - math.floor(math.log10(share * 100)))
    steps = math.ceil(round(share * 100 * 10**digits, 6))  # 2.4000000001 is 2.4
    return words.share(steps / 10**digits / 100, digits)
