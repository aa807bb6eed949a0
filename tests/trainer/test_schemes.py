"""Compiling a student to a scheme's arithmetic."""

import torch
from artifact_samples import TINY, frames, student

from trainer.int8.folding import as_rows
from trainer.int8.schemes import compile_network


def test_none_is_the_student_itself():
    """Without quantization the network gives the student's own features and logits."""
    network = student()
    frame = frames(1, TINY.height, TINY.width)
    with torch.inference_mode():
        features, pooled, logits = compile_network(network, "none")(frame)
        exact = network.features(frame / 255)
        torch.testing.assert_close(features, as_rows(exact), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pooled, exact.mean((2, 3)), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(logits, network(frame / 255), rtol=1e-4, atol=1e-5)


def test_the_student_stays_as_it_is():
    """Compiling changes neither the student's weights nor its mode."""
    network = student().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    compile_network(network, "dynamic")
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
