"""Ranges of a student's maps, and the balances that follow from them."""

import torch
from artifact_samples import TINY, frames, student

from trainer.int8.ranges import calibrate, pool_balances


def test_a_balance_is_the_ratio_of_two_ranges():
    """A balance is the ratio of two maps' ranges, at most 16 and at least 1/16 if one of them is blank."""
    maps = {"a.main.2": 6.0, "a.shortcut.0": 2.0, "b.main.2": 1e-6, "b.shortcut.0": 1.0, "stem": 1.0}
    assert pool_balances(maps) == {"a": 3.0, "b": 1 / 16}


def test_a_range_covers_most_of_a_map():
    """A range is between 0.4 and 1 of the map's peak, and every map that is kept as levels has one."""
    network, batch = student(), frames(4, TINY.height, TINY.width)
    ranges = calibrate(network, batch)
    with torch.inference_mode():
        stem = network.stem(batch / 255)
    assert 0.4 * float(stem.max()) <= ranges["stem"] <= 1.01 * float(stem.max())
    assert len(ranges) == 1 + 2 * len(TINY.plan) + sum(pair != (1, 1) for pair in TINY.plan)
    assert all(value > 0 for value in ranges.values())
