"""The proofs in ``benchmarks/``, in short: each fault once, with the same audit as at full length."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LONGEST_S = 1500  # s: a hang; two quiet cores take a minute, a loaded host many times that
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(program: str, *words: str) -> str:
    """Run one of them, which has to succeed."""
    command = [sys.executable, str(BENCHMARKS / program), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(LONGEST_S + 20)
def test_no_fault_loses_or_doubles_a_file(tiny: Path):
    """After any fault of ``make chaos`` each delivery has one row and one file with the bytes sent."""
    output = run("chaos.py", "--rounds", "1", "--seed", "1", "--artifact", str(tiny))
    assert "kill-postgresql" in output


def test_damaged_files_are_accounted_for_and_never_judged_in_part(tiny: Path):
    """A daemon lives through damaged files of all formats, and judges none that lacks pixels."""
    run("fuzz.py", "--count", "120", "--seed", "1", "--artifact", str(tiny))


def test_a_daemon_at_rest_holds_no_more_than_before(tiny: Path, tmp_path: Path):
    """Handles and threads at rest are no more in the second half of the way than in the first."""
    picture = str(tmp_path / "soak.png")
    run("soak.py", "--frames", "200", "--artifact", str(tiny), "--plot", picture, "--no-timed")
