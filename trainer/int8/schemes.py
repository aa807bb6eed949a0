"""The schemes of ``weld-train compile --scheme``, and the student with the arithmetic of one of them."""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.int8.dynamic import DynamicWeldNet
from trainer.int8.folding import as_rows
from trainer.int8.ranges import Ranges, pool_balances
from trainer.int8.static import StaticWeldNet
from trainer.network.weldnet import WeldNet

# A difference between two classes' probabilities that int8 may turn round: the tolerance of the golden frames
_CLEAR_MARGIN = 0.05

Scheme = Literal["dynamic", "static", "none"]


class FloatWeldNet(nn.Module):
    """The fp32 student with the int8 networks' interface, to compare and for processors without int8."""

    def __init__(self, student: WeldNet) -> None:
        super().__init__()
        self.at_once = 1  # frame per call: sums of floats may depend on the batch
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
    """Return the student in evaluation mode with a scheme's arithmetic; ``student`` itself stays unchanged.

    Args:
        student: the network.
        scheme: ``dynamic``, ``static`` or ``none``.
        ranges: of its maps. ``static`` needs them; ``dynamic`` rounds a little less with them.
        temperature: divides the logits.
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


def same_top_class(exact: Tensor, compiled: Tensor) -> Tensor:
    """Whether logits ``[N, C]`` have the exact ones' top class, or one nearly as likely, bool[N]."""
    probabilities, answers = exact.softmax(dim=1), compiled.argmax(dim=1, keepdim=True)
    margin = probabilities.amax(dim=1) - probabilities.gather(1, answers).squeeze(1)
    return margin <= _CLEAR_MARGIN
