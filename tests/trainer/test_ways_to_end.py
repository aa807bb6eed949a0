"""Every way in which a training of several processes ends: one status, one line, and no process left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tiny_runs import RECIPE, write_recipe
from trainer_samples import class_folders
from waiting import HANG_S

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# Two processes that take common steps without end, unless argv names the way in which one ends.
TRAINING = """
import os, signal, sys, time
from pathlib import Path
from trainer.errors import ProcessFailed, TrainerError, UsageError
from trainer.learning.processes import launch

def end(way):
    if way == "raises":
        raise ValueError("broken")
    if way == "refuses":
        raise UsageError("no frames")
    if way == "is killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)  # "hangs"

def train(hardware):
    hardware.wait()
    if hardware.leader:
        print("ready", flush=True)
    for way in sys.argv[1:]:
        who, how = way.split(maxsplit=1)
        if hardware.leader == (who == "leader"):
            end(how)
    while True:
        hardware.wait()

def gloo_threads():
    return [comm for path in Path("/proc/self/task").glob("*/comm") if "gloo" in (comm := path.read_text())]

try:
    with launch("cpu", 2) as hardware:
        train(hardware)
except TrainerError as error:
    sys.stderr.write(getattr(error, "output", "") + f"weld-train: {error}\\n")
    sys.exit(error.exit_status if not gloo_threads() else "threads are left")
except BaseException:
    assert not gloo_threads(), "threads are left"
    raise
"""


@contextmanager
def started(*command: object) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a session of its own, and leave no process of it behind."""
    with subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        # A background job of a shell starts with SIGINT ignored, and so do its own processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread, one call
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def ends(tmp_path: Path, *ways: str, by: signal.Signals | None = None) -> tuple[int, str]:
    """Return the exit status and stderr of :data:`TRAINING`, after the other process has ended too."""
    script = tmp_path / "training.py"
    script.write_text(TRAINING)
    with started(script, *ways) as training:
        assert training.stdout
        assert training.stdout.readline() == "ready\n", training.communicate()
        others = psutil.Process(training.pid).children()
        if by:
            training.send_signal(by)
        _, stderr = training.communicate(timeout=HANG_S)
        _, left = psutil.wait_procs(others, timeout=HANG_S)
    assert not left
    return training.returncode, stderr


def test_an_exception_in_the_leader_ends_both(tmp_path: Path) -> None:
    """An exception in the leader shows as in one process, and the follower does not wait for the leader."""
    status, stderr = ends(tmp_path, "leader raises")
    assert (status, stderr.count("ValueError: broken")) == (1, 1), stderr


def test_an_exception_in_a_follower_ends_both_with_its_traceback_and_one_line(tmp_path: Path) -> None:
    """The leader, which waits for the follower, reports the follower's output."""
    status, stderr = ends(tmp_path, "follower raises")
    assert (status, stderr.count("ValueError: broken")) == (1, 1), stderr
    assert stderr.splitlines()[-1] == (
        "weld-train: process 2 of 2 failed with status 1; the same command resumes"
    )
    assert stderr.count("weld-train: ") == 1


def test_a_leader_that_cannot_notice_is_ended_too(tmp_path: Path) -> None:
    """A leader that hangs while a follower fails ends with the follower's status and line."""
    status, stderr = ends(tmp_path, "leader hangs", "follower refuses")
    assert (status, stderr.splitlines()[-1]) == (2, "weld-train: no frames"), stderr


def test_a_follower_that_is_killed_ends_the_command(tmp_path: Path) -> None:
    """The line names the signal, for instance after the kernel has ended a process for its memory."""
    status, stderr = ends(tmp_path, "follower is killed")
    line = "weld-train: process 2 of 2 was ended by SIGKILL; the same command resumes"
    assert (status, stderr.splitlines()[-1]) == (1, line), stderr


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_a_leader_that_is_ended_by_a_signal_takes_the_follower_along(
    tmp_path: Path, by: signal.Signals
) -> None:
    """If the leader ends by a signal, the follower ends as well."""
    status, stderr = ends(tmp_path, by=by)
    assert status == -by, stderr


def recipe_and_data(folder: Path) -> tuple[Path, Path]:
    """Make a training that lasts until it is stopped."""
    training = RECIPE["training"] | {
        "epochs": 100_000,
        "batch_size": 8,
    }  # batches that two processes can share
    recipe = write_recipe(folder / "recipe.yaml", training=training)
    return recipe, class_folders(folder / "data", runs=4, frames=3)


def test_ctrl_c_ends_both_with_one_line(tmp_path: Path) -> None:
    """Ctrl-C reaches both processes; the command says that it can be resumed, with status 130."""
    recipe, data = recipe_and_data(tmp_path)
    options = (recipe, "--data", data, "--out", tmp_path / "out", "--devices", "2", "--accelerator", "cpu")
    with started("-m", "trainer.commands.cli", "run", *options) as training:
        assert training.stderr
        while "epoch 1/" not in training.stderr.readline():
            assert training.poll() is None
        others = psutil.Process(training.pid).children()
        os.killpg(training.pid, signal.SIGINT)
        stdout, stderr = training.communicate(timeout=HANG_S)
        _, left = psutil.wait_procs(others, timeout=HANG_S)
    assert (training.returncode, stdout, left) == (130, "", []), stderr
    line = "weld-train: stopped; the same command resumes after the last finished epoch"
    assert stderr.splitlines()[-1] == line
    assert "Traceback" not in stderr


def test_data_that_both_processes_refuse_is_one_line(tmp_path: Path) -> None:
    """A mistake in the data is reported once, with the status of one process."""
    recipe, data = recipe_and_data(tmp_path)
    (data / "good" / "good-run0" / "0.png").write_bytes(b"no picture")
    options = (recipe, "--data", data, "--out", tmp_path / "out", "--devices", "2", "--accelerator", "cpu")
    with started("-m", "trainer.commands.cli", "run", *options) as training:
        stdout, stderr = training.communicate(timeout=HANG_S)
    assert (training.returncode, stdout) == (2, ""), stderr
    assert [line for line in stderr.splitlines() if "0.png" in line] == [stderr.splitlines()[-1]]
