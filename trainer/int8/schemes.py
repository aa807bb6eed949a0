"""A student with the arithmetic of a scheme: what ``weld-train compile --scheme`` chooses between."""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.int8.dynamic import DynamicWeldNet
from trainer.int8.folding import as_rows
from trainer.int8.ranges import Ranges, pool_balances
from trainer.int8.static import StaticWeldNet
from trainer.network.weldnet import WeldNet

Scheme = Literal["dynamic", "static", "none"]


class FloatWeldNet(nn.Module):
    """The student as it is, behind the same interface: for processors without int8, and to compare."""

    def __init__(self, student: WeldNet) -> None:
        super().__init__()
        self.at_once = 1  # frame: sums of floats may depend on the batch
        self.student = student

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`trainer.int8.dynamic.DynamicWeldNet.forward`."""
        pixels = frame.to(torch.float32, memory_format=torch.channels_last) / 255
        features = self.student.features(pixels)
        pooled = features.mean((2, 3))
        return as_rows(features), pooled, self.student.head(pooled)


Compiled = DynamicWeldNet | StaticWeldNet | FloatWeldNet


def compile_network(
    student: WeldNet, scheme: Scheme, ranges: Ranges | None = None, temperature: float = 1.0
) -> Compiled:
    """The student in evaluation mode with the scheme's arithmetic; ``student`` itself stays as it is.

    Args:
        student: the network.
        scheme: ``dynamic``, ``static`` or ``none``.
        ranges: what ``static`` is calibrated to; ``dynamic`` rounds a little less with them.
        temperature: what logits are divided by.
    """
    copy = WeldNet(student.config).requires_grad_(False)
    copy.load_state_dict(student.state_dict())
    for tensor in copy.head.parameters():
        tensor.div_(temperature)
    copy = copy.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    if scheme == "none":
        return FloatWeldNet(copy).eval()
    if scheme == "dynamic":
        return DynamicWeldNet(copy, pool_balances(ranges) if ranges else None).eval()
    if ranges is None:
        raise ValueError("static int8 needs the ranges that it was calibrated to")
    return StaticWeldNet(copy, ranges).eval()
