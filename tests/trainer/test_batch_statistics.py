"""Batch norm's statistics of whole frames."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from trainer.data.resizing import prepare
from trainer.learning import batch_statistics
from trainer.network.prediction import as_input
from trainer.network.weldnet import WeldNet, WeldNetConfig

SIDE = 64  # pixels of the network's frames; kept ones have 80


def frames(count: int) -> Tensor:
    """Make uint8[count, 1, 80, 80]: a dark first half and a bright second half, as frames sorted by class."""
    torch.manual_seed(count)
    grey = torch.where(torch.arange(count) < count // 2, 60, 180).view(-1, 1, 1, 1)
    return (grey + torch.randint(-30, 30, (count, 1, 80, 80))).to(torch.uint8)


def network_with_other_statistics() -> WeldNet:
    """Make a WeldNet with the statistics of other images."""
    torch.manual_seed(3)
    network = WeldNet(WeldNetConfig(classes=2, stem=4, plan=((1, 1), (2, 2)), height=SIDE, width=SIDE))
    network.train()
    network(torch.rand(4, 1, SIDE, SIDE))
    return network


def test_the_first_statistics_are_those_of_the_prepared_frames() -> None:
    """The first statistics are mean and variance over all frames at the network's size."""
    network, kept = network_with_other_statistics(), frames(20)
    convolution, norm = (
        next(module for module in network.modules() if isinstance(module, kind))
        for kind in (nn.Conv2d, nn.BatchNorm2d)
    )
    batch_statistics.recompute(network, kept, SIDE, SIDE)
    with torch.no_grad():
        maps = convolution(as_input(torch.stack([prepare(frame, SIDE, SIDE) for frame in kept])))
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)))


def test_every_batch_has_frames_of_every_class() -> None:
    """Each batch has dark and bright frames; batches of one kind would vary too little."""
    network, kept = network_with_other_statistics(), frames(100)
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    batch_statistics.recompute(network, kept, SIDE, SIDE)
    mixed = norm.running_var.clone()
    batch_statistics.recompute(network, kept[torch.randperm(100)], SIDE, SIDE)
    torch.testing.assert_close(mixed, norm.running_var, rtol=0.05, atol=0)


def test_only_statistics_change() -> None:
    """Weights and momentum stay, and no module stays in training mode."""
    network = network_with_other_statistics()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch_statistics.recompute(network, frames(20), SIDE, SIDE)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(
        name.rsplit(".", 1)[1] in ("running_mean", "running_var", "num_batches_tracked") for name in changed
    )
    assert not any(module.training for module in network.modules())
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}


@pytest.mark.parametrize(("count", "looked"), [(2, 2), (33, 33), (1005, 1000)])
def test_of_many_frames_a_sample_is_used(count: int, looked: int) -> None:
    """Each of a few frames is used once, and of many frames at most a thousand are used."""
    network = network_with_other_statistics()
    sizes: list[int] = []
    network.register_forward_hook(lambda _module, given, _out: sizes.append(len(given[0])))
    batch_statistics.recompute(network, frames(count), SIDE, SIDE)
    assert sum(sizes) == looked
    assert max(sizes) - min(sizes) <= 1, "no small last batch, whose noise would count as much"
