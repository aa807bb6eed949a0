"""Where networks learn: a processor or a GPU, or several processes of either on one host or many.

Lightning Fabric starts the processes and averages their gradients; the rest of the trainer does not know how
many there are. All of them run the same program. The *leader* alone writes; the others only learn.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from trainer.errors import UsageError

if TYPE_CHECKING:
    from torch.optim import Optimizer

_PATIENCE = timedelta(minutes=60)  # the others wait while the leader assesses, reports, or reads a slow disk


class Hardware:
    """Devices and processes of this training; one device, a GPU where there is one, unless told otherwise.

    Args:
        accelerator: ``auto`` is a GPU where torch has one.
        devices: processes on each node, each with a GPU of its own or a share of the processor's cores.
        nodes: hosts; each runs the same command under ``torchrun`` or a cluster's scheduler.

    Raises:
        UsageError: this host does not have that.

    Attributes:
        device: of this process.
        processes: how many learn together.
        leader: whether this one writes.
    """

    def __init__(
        self, accelerator: Literal["auto", "cpu", "gpu"] = "auto", devices: int = 1, nodes: int = 1
    ) -> None:
        from lightning_fabric import Fabric  # noqa: PLC0415 - seconds of imports, for those who train
        from lightning_fabric.strategies.ddp import DDPStrategy  # noqa: PLC0415
        from lightning_fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415

        several = devices * nodes > 1
        strategy = DDPStrategy(timeout=_PATIENCE) if several else "auto"
        try:
            self._fabric = Fabric(
                accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy
            )
        except (RuntimeError, ValueError, MisconfigurationException) as error:
            asked = f"--accelerator {accelerator} --devices {devices} --nodes {nodes}"
            raise UsageError(f"{asked}: not here: {' '.join(str(error).split())}") from None
        if several:
            self._fabric.launch()
        self.device: torch.device = self._fabric.device
        self.processes: int = self._fabric.world_size
        self.leader: bool = self._fabric.global_rank == 0

    def __str__(self) -> str:
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return f"{self.processes} × {kind}"

    def setup(self, network: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Move both to the device; what comes back gives logits, and learns with all processes."""
        together, _ = self._fabric.setup(network, optimizer)
        assert isinstance(together, nn.Module)  # noqa: S101 - Fabric's wrapper
        return together

    def hold(self, images: Tensor) -> Tensor:
        """Decoded frames in the device's memory, where half of what is free there takes them."""
        if self.device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(self.device)[0] / 2:
            return images
        return images.to(self.device)

    def backward(self, loss: Tensor) -> None:
        """Gradients, averaged over the processes."""
        self._fabric.backward(loss)

    def own(self, rows: Tensor) -> Tensor:
        """This process's share of a batch's rows; none is left out, and shares differ by one at most."""
        return rows.tensor_split(self.processes)[self._fabric.global_rank]

    def reseed(self, seed: int) -> None:
        """Part the random numbers of the processes, which have been the same so far."""
        if self.processes > 1:
            torch.manual_seed(seed * self.processes + self._fabric.global_rank)

    def worst(self, loss: float) -> float:
        """This process's loss, or NaN where any process's is no number: all of them have to stop then."""
        if self.processes == 1:
            return loss
        return loss if math.isfinite(self.total(torch.tensor(loss)).item()) else math.nan

    def total(self, value: Tensor) -> Tensor:
        """The sum over the processes."""
        summed = self._fabric.all_reduce(value, reduce_op="sum")
        assert isinstance(summed, Tensor)  # noqa: S101 - as it was given
        return summed

    def wait(self) -> None:
        """Until all processes are here."""
        self._fabric.barrier()
