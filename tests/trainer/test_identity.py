"""Identity of a run: the commit of the program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from trainer.run.identity import git_commit

ROOT = Path(__file__).parents[2]


def test_a_checkout_reports_its_commit() -> None:
    """Results from a git checkout carry the commit of the checkout."""
    if not (ROOT / ".git").exists() or not shutil.which("git"):
        pytest.skip("this copy of the program is no git checkout, or git is not installed")
    head = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if head.returncode:
        pytest.skip(f"git does not read this checkout: {head.stderr.strip()}")
    commit = git_commit()
    assert commit is not None
    assert commit.removesuffix("-dirty") == head.stdout.strip()
