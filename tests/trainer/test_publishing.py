"""A published file is whole and proved, and a kill in between leaves nothing for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.artifact.publishing import publish

KILLED = """
import os, signal, sys
from pathlib import Path
from trainer.artifact.publishing import publish
publish(b"half", Path(sys.argv[1]), lambda path: os.kill(os.getpid(), signal.SIGKILL))
"""


def test_a_file_is_proved_before_it_gets_its_name(tmp_path: Path) -> None:
    """The proof reads the content while the old file is still there; then the new one replaces it."""
    out = tmp_path / "new folder" / "a[1].pt"
    seen: list[tuple[bytes, bytes | None]] = []

    def prove(path: Path) -> None:
        seen.append((path.read_bytes(), out.read_bytes() if out.exists() else None))

    publish(b"first", out, prove)
    publish(b"second", out, prove)
    assert seen == [(b"first", None), (b"second", b"first")]
    assert out.read_bytes() == b"second"
    assert [path.name for path in out.parent.iterdir()] == ["a[1].pt"]


def test_a_proof_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """If the new file is not right, the old one stays, alone."""
    publish(b"old", tmp_path / "a.pt", lambda path: None)

    def refuse(path: Path) -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        publish(b"new", tmp_path / "a.pt", refuse)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.pt", b"old")]


def test_a_kill_leaves_nothing_for_good(tmp_path: Path) -> None:
    """After SIGKILL in the proof, the next call removes what that and older versions have left."""
    (tmp_path / ".a.pt.999999999.tmp").write_bytes(b"left by a killed process")
    (tmp_path / f".a.pt.{os.getppid()}.tmp").write_bytes(b"another process is at work")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    killed = subprocess.run([sys.executable, "-c", KILLED, tmp_path / "a.pt"], env=environment, check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "a.pt").exists()
    publish(b"whole", tmp_path / "a.pt", lambda path: None)
    assert {path.name for path in tmp_path.iterdir()} == {"a.pt", f".a.pt.{os.getppid()}.tmp"}
