"""Identity of a run: everything that its result depends on, besides the recipe."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PROGRAM = Path(__file__).resolve().parents[2]  # the folder that holds the package trainer


@dataclass(frozen=True)
class Identity:
    """Data, seeds, program and machine: the fields of ``run.json``, which ``results.json`` begins with."""

    recipe: str  # its name
    architecture: str
    split_fingerprint: str  # SHA-256 over every frame's part, class, name and bytes
    start: str | None  # SHA-256 of the student.pt that networks start from; None: random weights
    part: str  # the part of the data on which networks are evaluated
    data: str | list[str]  # absolute path; of several sets all, in their order
    n_train: int  # frames to train on
    n: int  # frames held out
    seeds: dict[str, int]  # of the recipe and of each network
    git_commit: str | None
    environment: dict[str, Any]


def environment() -> dict[str, Any]:
    """Return the versions and the processor."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "torchvision", "torchmetrics", "numpy", "pillow")},
        "platform": platform.platform(),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
    }


def git_commit() -> str | None:
    """Return the commit of the program's checkout, ``-dirty`` if files differ; None without a checkout."""
    if not (PROGRAM / ".git").exists():
        return None
    try:
        commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("-dirty" if changed else "")


def _git(*command: str) -> str:
    done = subprocess.run(["git", "-C", str(PROGRAM), *command], capture_output=True, text=True, check=True)  # noqa: S603, S607 - fixed commands of the user's own git
    return done.stdout.strip()


def _processor() -> str:
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{len(names)} × {names[0]}" if names else platform.machine()
