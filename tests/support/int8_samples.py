"""Activations and levels for the tests of int8 layers."""

import torch

from trainer.int8.linear import MAX_LEVEL

torch.set_num_threads(1)  # threads of such small layers only wait for each other


def activation(*shape, seed=0):
    """Random values behind a ReLU, half of them zero, in channels-last memory."""
    torch.manual_seed(seed)
    return torch.randn(shape).relu().contiguous(memory_format=torch.channels_last)


def random_levels(*shape, seed=0):
    """Random levels from 0 to 127, uint8; a map's in channels-last memory."""
    torch.manual_seed(seed)
    levels = torch.randint(0, MAX_LEVEL + 1, shape, dtype=torch.uint8)
    return levels.contiguous(memory_format=torch.channels_last) if levels.dim() == 4 else levels


def relative_error(ours, reference):
    """Norm of the difference over the norm of the reference."""
    return float((ours - reference).norm() / reference.norm())
