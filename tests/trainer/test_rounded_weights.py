"""Training with rounded weights: the weights of int8, and only for the time of the block."""

from contextlib import suppress

import torch
from artifact_samples import TINY, frames, student
from torch.nn import functional as F

from trainer.int8.convolution import Int8Conv2d
from trainer.int8.linear import Int8Linear
from trainer.int8.schemes import compile_network
from trainer.learning import training
from trainer.learning.rounded_weights import rounded_weights
from trainer.network.weldnet import WeldNet

from training_samples import augmentation, frame_set, hyperparameters, tiny  # isort: skip


def _int8_layers(network):
    """Return weights and scales of each int8 layer of the compiled network, by name."""
    compiled = compile_network(network, "dynamic")
    kinds = (Int8Conv2d, Int8Linear)
    return {name: (m.weight, m.scale) for name, m in compiled.named_modules() if isinstance(m, kinds)}


def test_they_are_the_weights_that_int8_holds():
    """A network compiled from rounded weights has the same levels and scales as one from its own weights."""
    network = student()
    expected = _int8_layers(network)
    with rounded_weights(network):
        rounded = _int8_layers(network)
    assert len(expected) == 2 * len(TINY.plan) + 2
    for name, (levels, scale) in expected.items():
        assert torch.equal(rounded[name][0], levels), name
        torch.testing.assert_close(rounded[name][1], scale, rtol=1e-4, atol=0)


def test_rounded_weights_leave_nothing_to_round():
    """Compiled from rounded weights, logits are nearer to their network's than those of unrounded weights."""
    network, frame = student(), frames(1, TINY.height, TINY.width)
    with torch.inference_mode():
        int8 = compile_network(network, "dynamic")(frame)[2]
        unrounded = network(frame / 255)
        with rounded_weights(network):
            rounded = network(frame / 255)
    assert float((int8 - rounded).norm()) < float((int8 - unrounded).norm())


def test_the_network_has_its_own_weights_again():
    """After the block every weight is restored to the bit, and has the gradient of the rounded weights."""
    network = student().train().requires_grad_(True)
    before = {name: value.clone() for name, value in network.named_parameters()}
    with rounded_weights(network):
        at_rounded = network.head.weight.detach().clone()
        F.cross_entropy(
            network(frames(4, TINY.height, TINY.width) / 255), torch.tensor([0, 1, 2, 0])
        ).backward()
    assert not torch.equal(at_rounded, before["head.weight"])
    for name, value in network.named_parameters():
        assert torch.equal(value, before[name]), name
        assert value.grad is not None, name


def _learnt(tmp_path, int8_epochs: int, *, stop_after: int = 0) -> WeldNet:
    network, plan = tiny(), hyperparameters(int8_epochs=int8_epochs)

    def stop(history):
        if len(history) == stop_after:
            raise KeyboardInterrupt

    path = tmp_path / f"{int8_epochs}-{stop_after}.pt"
    with suppress(KeyboardInterrupt):
        training.fit(network, frame_set(), augmentation(), plan, checkpoint=path, on_epoch=stop)
    if stop_after:
        training.fit(network := tiny(), frame_set(), augmentation(), plan, checkpoint=path)
    return network


def test_only_the_last_epochs_round(tmp_path):
    """Only the last epochs round, before and after a stop; a larger number of epochs rounds in all."""
    none, last, every, more = (_learnt(tmp_path, count).head.weight for count in (0, 1, 3, 9))
    resumed = _learnt(tmp_path, 1, stop_after=2).head.weight
    assert torch.equal(resumed, last)
    assert not torch.equal(none, last)
    assert not torch.equal(last, every)
    assert torch.equal(every, more)
