"""The student's file: all that ``weld-train compile`` needs, with no run folder or data set beside it."""

from __future__ import annotations

import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspector.metadata import WeldClass
from trainer.errors import UsageError
from trainer.training import save
from trainer.weldnet import WeldNet, WeldNetConfig


@dataclass(frozen=True)
class Student:
    """A trained network and what its artifact's metadata will say of it.

    ``golden`` are raw frames uint8[h, w] from training, which the artifact proves itself with.
    """

    network: WeldNet
    classes: list[WeldClass]
    golden: list[Tensor]
    metrics: dict[str, Any]
    recipe: dict[str, Any]
    git_commit: str | None

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            "format": 1,
            "network": asdict(self.network.config),
            "weights": self.network.state_dict(),
            "classes": [c.model_dump() for c in self.classes],
            **{name: getattr(self, name) for name in ("golden", "metrics", "recipe", "git_commit")},
        }
        save(content, path)

    @classmethod
    def load(cls, path: Path) -> Student:
        """Read the file.

        Raises:
            UsageError: it is missing, or is no student.
        """
        try:
            content = torch.load(path, weights_only=True)
            network = WeldNet(WeldNetConfig(**content["network"]))
            network.load_state_dict(content["weights"])
            return cls(
                network.eval(),
                [WeldClass(**c) for c in content["classes"]],
                **{name: content[name] for name in ("golden", "metrics", "recipe", "git_commit")},
            )
        except FileNotFoundError:
            raise UsageError(f"{path}: no such file; a run writes it as student.pt") from None
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError):
            raise UsageError(f"{path}: is no student.pt of this program's trainer") from None
