"""The processes in which networks learn: one or several, on one host or many, each on a CPU or a GPU.

:func:`launch` starts the processes and ends them together. Lightning Fabric averages their gradients. The
rest of the trainer does not know how many there are. All run the same program. Only the *leader* writes
files; the others only learn.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, distributed, nn

from trainer.errors import UsageError
from trainer.learning.followers import GRACE_S, LOST_PEER_S, Followers, follow

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.optim import Optimizer

Accelerator = Literal["auto", "cpu", "gpu"]

_PATIENCE = timedelta(minutes=60)  # the others wait while the leader evaluates, reports, or reads a slow disk


@contextmanager
def launch(accelerator: Accelerator = "auto", devices: int = 1, nodes: int = 1) -> Iterator[Hardware]:
    """Start the processes of a training, run the block in each of them, and end them together.

    If the block fails in one process, the others are ended, and the process that the user started raises the
    error. Under ``torchrun`` or a scheduler, that starts and ends the processes.

    Args:
        accelerator: ``auto`` is a GPU if torch has one.
        devices: processes on each node, each with a GPU of its own or a share of the processor's cores.
        nodes: hosts; each runs the same command under ``torchrun`` or a cluster's scheduler.

    Raises:
        UsageError: this host does not have that.
        ProcessFailed: another process failed.
    """
    # This module keeps the process group that exists at its import, and DDP imports it. A group that is kept
    # does not end its threads, and those can abort the process while Python shuts down. So import it now.
    importlib.import_module("torch.distributed.nn")

    fabric = _fabric(accelerator, devices, nodes)
    if devices * nodes == 1:
        yield Hardware(fabric)
        return
    follow()
    followers, server = _start(fabric, devices)
    try:
        fabric.launch()
        del server  # the group holds it now
        yield Hardware(fabric)
        fabric.barrier()  # so that no process waits for one that has left
    except BaseException as error:
        # A process that waits for one that is lost gets a RuntimeError, mostly before that one has ended.
        patience_s = LOST_PEER_S if "by peer" in str(error) else GRACE_S
        failed = followers.failure(patience_s) if isinstance(error, RuntimeError) else None
        followers.end()
        _release_networks(error)
        _destroy_group(abort=True)
        if failed:
            raise failed from None
        raise
    _destroy_group()
    followers.wait()


class Hardware:
    """Devices and processes of this training: those of :func:`launch`, or one device, a GPU if there is one.

    Attributes:
        device: of this process.
        processes: how many learn together.
        leader: whether this one writes.
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self._fabric = fabric or _fabric("auto", 1, 1)
        self.device: torch.device = self._fabric.device
        self.processes: int = self._fabric.world_size
        self.leader: bool = self._fabric.global_rank == 0

    def __str__(self) -> str:
        kind = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return f"{self.processes} × {kind}"

    def setup(self, network: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Move both to the device, and return the network that averages gradients over the processes."""
        together, _ = self._fabric.setup(network, optimizer)
        assert isinstance(together, nn.Module)  # noqa: S101 - Fabric's wrapper
        return together

    def preload(self, images: Tensor) -> Tensor:
        """Copy decoded frames to the device, if they fit into half of its free memory."""
        if self.device.type == "cuda" and images.nbytes > torch.cuda.mem_get_info(self.device)[0] / 2:
            return images
        return images.to(self.device)

    def backward(self, loss: Tensor) -> None:
        """Compute gradients, averaged over the processes."""
        self._fabric.backward(loss)

    def shard(self, rows: Tensor) -> Tensor:
        """Return this process's share of a batch's rows. Shares differ by at most one row."""
        return rows.tensor_split(self.processes)[self._fabric.global_rank]

    def weight(self, share: int, batch: int) -> float:
        """Return the weight of the loss of ``share`` frames out of ``batch``.

        Gradients of all processes are averaged alike. With this weight each frame counts alike, also if
        shares are unequal.
        """
        return share * self.processes / batch

    def reseed(self, seed: int) -> None:
        """Give each process its own random numbers; until here, all draw the same."""
        if self.processes > 1:
            torch.manual_seed(seed * self.processes + self._fabric.global_rank)

    def loss_or_nan(self, loss: float) -> float:
        """Return this process's loss, or NaN if the loss of any process is no number: then all must stop."""
        if self.processes == 1:
            return loss
        return loss if math.isfinite(self.sum_over_processes(torch.tensor(loss)).item()) else math.nan

    def sum_over_processes(self, value: Tensor) -> Tensor:
        """Return the sum over the processes."""
        summed = self._fabric.all_reduce(value, reduce_op="sum")
        assert isinstance(summed, Tensor)  # noqa: S101 - a tensor gives a tensor
        return summed

    def leader_says(self, value: bool) -> bool:
        """Return the leader's value in every process, so that all take the same way."""
        return bool(self.sum_over_processes(torch.tensor(float(value and self.leader))).item())

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._fabric.barrier()


def _fabric(accelerator: Accelerator, devices: int, nodes: int) -> Fabric:
    from lightning_fabric import Fabric  # noqa: PLC0415 - takes seconds to import
    from lightning_fabric.strategies.ddp import DDPStrategy  # noqa: PLC0415
    from lightning_fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415

    strategy = DDPStrategy(timeout=_PATIENCE) if devices * nodes > 1 else "auto"
    try:
        return Fabric(accelerator=accelerator, devices=devices, num_nodes=nodes, strategy=strategy)
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        asked = f"--accelerator {accelerator} --devices {devices} --nodes {nodes}"
        raise UsageError(f"{asked}: not here: {' '.join(str(error).split())}") from None


def _start(fabric: Fabric, devices: int) -> tuple[Followers, object]:
    """Start the other processes of this host, and the server through which they connect.

    Start nothing if torchrun or a scheduler starts the processes.
    """
    from lightning_fabric.strategies.parallel import ParallelStrategy  # noqa: PLC0415

    assert isinstance(fabric.strategy, ParallelStrategy)  # noqa: S101 - several processes
    environment = fabric.strategy.cluster_environment
    if environment is None or environment.creates_processes_externally:
        return Followers(0), None
    os.environ["LOCAL_RANK"] = "0"  # so Fabric starts no processes of its own
    os.environ["MASTER_ADDR"] = environment.main_address
    if "MASTER_PORT" in os.environ:
        return Followers(devices - 1), None
    # Fabric chooses a free port and opens it seconds later: another program may have it by then.
    server = distributed.TCPStore(  # type: ignore[attr-defined]
        environment.main_address, 0, is_master=True, wait_for_workers=False, multi_tenant=True
    )
    os.environ["MASTER_PORT"] = str(server.port)
    return Followers(devices - 1), server


def _release_networks(error: BaseException | None) -> None:
    """Clear the frames of an error, so that no network in them keeps the process group alive."""
    while error:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _destroy_group(*, abort: bool = False) -> None:
    """End the threads of the process group. With ``abort``, do not wait for the other processes."""
    group = distributed.group.WORLD
    if group is None:
        return
    if abort:
        group.abort()
    del group
    distributed.destroy_process_group()
    gc.collect()  # wrapped networks are reference cycles, and each keeps the group
