"""Exact bounds, checked against the binomial distribution itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.bounds import cases_needed, exact_interval, exact_lower, exact_upper, least_share

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.sampled_from([0.5, 0.8, 0.95, 0.999])


def at_most(count: int, n: int, share: float) -> float:
    """The probability of ``count`` cases or fewer, summed term by term."""
    return math.fsum(math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(count + 1))


@given(counts, confidences)
def test_the_upper_bound_is_the_share_at_which_so_few_cases_are_as_rare_as_the_risk(
    counted: tuple[int, int], confidence: float
) -> None:
    """At the bound, the binomial probability of so few cases is 1 - confidence; if all count, it is 1."""
    count, n = counted
    bound = exact_upper(count, n, confidence)
    if count == n:
        assert bound == 1
    else:
        assert at_most(count, n, bound) == pytest.approx(1 - confidence, rel=1e-6)


@given(counts, confidences)
def test_the_bounds_contain_the_share_and_mirror_each_other(
    counted: tuple[int, int], confidence: float
) -> None:
    """Both bounds are around the observed share, and the lower one is the upper one of what did not count."""
    count, n = counted
    low, high = exact_interval(count, n, confidence)
    assert 0 <= low <= count / n <= high <= 1
    assert low == pytest.approx(1 - exact_interval(n - count, n, confidence)[1], abs=1e-9)
    assert exact_lower(count, n, confidence) >= low
    assert exact_upper(count, n, confidence) <= high


def test_published_values() -> None:
    """0 of 30 leave 9.5% possible; 81 of 263 give 0.2527 to 0.3676 (Newcombe 1998, Table I, method 5)."""
    assert exact_upper(0, 30) == pytest.approx(0.0950, abs=5e-5)
    assert exact_interval(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert exact_interval(0, 0) == (0.0, 1.0)  # nothing was counted, so nothing is known


@given(st.floats(0.0005, 0.9), confidences)
def test_so_many_clean_cases_promise_the_share_and_one_fewer_does_not(
    share: float, confidence: float
) -> None:
    """The number of cases is the smallest whose bound is within the share: 299 for 1%, 59 for 5%."""
    n = cases_needed(share, confidence)
    assert least_share(n, confidence) <= share * (1 + 1e-6)
    assert n == 1 or least_share(n - 1, confidence) > share
    assert (cases_needed(0.01), cases_needed(0.05)) == (299, 59)
