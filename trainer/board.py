"""A network's curves for TensorBoard, beside the CSV: ``tensorboard --logdir RUN/logs/tensorboard``."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from trainer.training import Epoch

_CURVES = {
    "loss/train": "train_loss",
    "loss/valid": "valid_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/valid": "valid_accuracy",
    "learning rate": "learning_rate",
    "seconds an epoch": "seconds",
}


class Board:
    """Event files in ``folder``; a context manager.

    Args:
        folder: of one network.
        first: the epoch that comes next: what a killed run wrote of it and later is no longer shown.
    """

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - a second of imports

        self._writer = SummaryWriter(folder, purge_step=first)

    def add(self, epoch: Epoch) -> None:
        """One point of each curve."""
        for name, key in _CURVES.items():
            if (value := getattr(epoch, key)) is not None:
                self._writer.add_scalar(name, value, epoch.epoch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
