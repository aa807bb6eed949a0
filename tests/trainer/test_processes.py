"""Several processes learn together: real processes and real gloo, without a GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import RECIPE, read_csv, write_recipe
from torch.nn import functional as F
from trainer_samples import class_folders
from waiting import wait_for

from trainer.errors import UsageError
from trainer.learning.processes import launch

QUICK = {"training": RECIPE["training"] | {"epochs": 3, "batch_size": 8}, "distillation": {"epochs": 2}}

STEP = """
import json, torch
from pathlib import Path
from torch.nn import functional as F
from trainer.learning.processes import launch

def step(hardware):
    network = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(network.weight, 0.1)
    torch.nn.init.zeros_(network.bias)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    together = hardware.setup(network, optimizer)
    rows = hardware.shard(torch.arange(7))  # four frames and three
    frames = torch.arange(24.0).view(8, 3).sin()
    hardware.backward(hardware.weight(len(rows), 7) * F.cross_entropy(together(frames[rows]), rows % 2))
    optimizer.step()
    loss = hardware.loss_or_nan(float("nan") if not hardware.leader else 1.0)
    summed = hardware.sum_over_processes(torch.tensor(float(len(rows)))).item()
    said = [hardware.leader_says(value) for value in (hardware.leader, not hardware.leader)]
    assert said == [True, False], said  # in both processes: only the leader's opinion counts
    return network.weight.tolist(), loss != loss, summed

with launch("cpu", 2) as hardware:
    result = step(hardware)
names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
threads = [name for name in names if "gloo" in name]
assert not threads, threads  # in both processes: the leader fails if a follower does
if hardware.leader:
    print(json.dumps(result))
"""


def test_two_processes_step_as_one_would(tmp_path: Path) -> None:
    """Gradients are averaged over two unequal shares, a loss of NaN stops both, and no thread is left."""
    script = tmp_path / "step.py"
    script.write_text(STEP)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    weight, stopped, summed = json.loads(done.stdout.splitlines()[-1])
    network = torch.nn.Linear(3, 2)
    torch.nn.init.constant_(network.weight, 0.1)
    torch.nn.init.zeros_(network.bias)
    frames = torch.arange(24.0).view(8, 3).sin()
    F.cross_entropy(network(frames[:7]), torch.arange(7) % 2).backward()
    assert torch.allclose(torch.tensor(weight), network.weight - network.weight.grad, atol=1e-6)
    assert (stopped, summed) == (True, 7)


def test_hardware_that_is_not_here_is_one_line() -> None:
    """A GPU that this host lacks is an error of usage that names the options."""
    if torch.cuda.is_available():
        pytest.skip("this host has a GPU")
    with pytest.raises(UsageError, match=r"--accelerator gpu --devices 2 .*: not here"), launch("gpu", 2):
        pass


@pytest.mark.timeout(1200)  # s: three trainings, each up to a minute and a half on a loaded host
def test_two_processes_train_a_whole_run_and_resume_after_kill_9(tmp_path: Path) -> None:
    """Two processes write one run folder; after a kill, the same command ends with the same weights."""
    data = class_folders(tmp_path / "data", runs=4, frames=3)
    recipe = write_recipe(tmp_path / "recipe.yaml", **QUICK)

    def command(out: str) -> list[Any]:
        words = [recipe, "--data", data, "--out", tmp_path / out, "--devices", "2", "--accelerator", "cpu"]
        return [sys.executable, "-m", "trainer.commands.cli", "run", *words, "--json"]

    done = subprocess.run(command("whole"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "artifact" in json.loads(done.stdout)["models"], "one JSON object: the other process is silent"

    broken = subprocess.Popen(command("killed"), stderr=subprocess.PIPE, text=True, start_new_session=True)
    first = tmp_path / "killed" / "checkpoints" / "teacher-1.pt"
    wait_for(lambda: first.exists() or broken.poll() is not None)
    os.killpg(broken.pid, signal.SIGKILL)
    broken.communicate()
    again = subprocess.run(command("killed"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr

    for network in ("teacher-1", "teacher-2", "student"):
        one, other = (
            torch.load(tmp_path / out / "checkpoints" / f"{network}.pt", weights_only=True)["network"]
            for out in ("whole", "killed")
        )
        assert all(torch.equal(one[key], other[key]) for key in one), network
        assert len(read_csv(tmp_path / "killed" / "logs" / f"{network}.csv")) == (
            2 if network == "student" else 3
        )
    about = json.loads((tmp_path / "killed" / "run.json").read_text())
    assert about["environment"]["hardware"] == "2 × cpu"
    board = EventAccumulator(str(tmp_path / "killed" / "logs" / "tensorboard" / "teacher-1")).Reload()
    assert [point.step for point in board.Scalars("loss/train")] == [1, 2, 3]
