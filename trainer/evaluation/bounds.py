"""Exact bounds of a share that was counted: Clopper and Pearson 1934, from the binomial distribution itself.

They hold for every n and every true share. Wilson's interval has its confidence on average over shares, so it
may break a promise about rare events more often than it says.

The n cases must be independent. Frames of one welding run are not: count runs instead. Of runs that count in
part, the bounds take the fraction: they lie between those of the whole numbers beside it.
"""

from __future__ import annotations

import math
from bisect import bisect_left

from scipy.special import betaincinv


def exact_upper(count: float, n: int, confidence: float = 0.95) -> float:
    """Return the largest share that ``count`` of ``n`` independent cases leave possible, 1 without cases.

    The true share is at most this in at least ``confidence`` of all samples. It is the share at which so few
    cases, or fewer, are seen with probability 1 - ``confidence``.
    """
    return 1.0 if count == n else float(betaincinv(count + 1, n - count, confidence))


def exact_lower(count: float, n: int, confidence: float = 0.95) -> float:
    """Return the smallest share that ``count`` of ``n`` independent cases leave possible, 0 without cases."""
    return 1 - exact_upper(n - count, n, confidence)


def exact_interval(count: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return both bounds of a share, each with half of the risk: the true share is between them."""
    one_sided = (1 + confidence) / 2
    return exact_lower(count, n, one_sided), exact_upper(count, n, one_sided)


def least_share(n: int, confidence: float = 0.95) -> float:
    """Return the smallest share that ``n`` independent cases can promise: the bound if none counts."""
    return exact_upper(0, n, confidence)


def most_cases(share: float, n: int, confidence: float = 0.95) -> int:
    """Return the largest count of ``n`` independent cases that promises a share, -1 if none does."""
    return bisect_left(range(n + 1), True, key=lambda count: exact_upper(count, n, confidence) > share) - 1


def cases_needed(share: float, confidence: float = 0.95, count: int = 0) -> int:
    """Return how many independent cases, of which so many count, promise a share above 0 and below 1.

    Without a case that counts it is about 3 / share at 95% (the rule of three). ``confidence`` is at least
    0.75.
    """
    clean = math.ceil(math.log(1 - confidence) / math.log1p(-share))
    enough = range(count, 2 * (count + 1) * clean + 1)  # of 2k blocks most would have to be without a case
    return enough[bisect_left(enough, True, key=lambda n: exact_upper(count, n, confidence) <= share)]
