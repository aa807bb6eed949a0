"""A network's curves for TensorBoard: ``tensorboard --logdir RUN/logs/tensorboard``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from trainer.learning.training import Epoch

CURVES = {
    "loss/train": "train_loss",
    "loss/valid": "valid_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/valid": "valid_accuracy",
    "learning rate": "learning_rate",
    "seconds an epoch": "seconds",
}


class TensorBoard:
    """Event files of one network in ``folder``; a context manager.

    It writes the whole history again. The files of a killed run may have one epoch more or less than the
    checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - a second of imports

        self._writer = SummaryWriter(folder, purge_step=1)
        self._written_epochs = 0

    def write(self, history: Sequence[Epoch]) -> None:
        """Write the epochs of the whole ``history`` that are not written yet."""
        for epoch in history[self._written_epochs :]:
            for name, key in CURVES.items():
                if (value := getattr(epoch, key)) is not None:
                    self._writer.add_scalar(name, value, epoch.epoch)
        self._written_epochs = len(history)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
