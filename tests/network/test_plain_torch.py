"""The artifact's contract for other programs: the examples of its reference page, run as they are printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_samples import picture
from PIL import Image
from waiting import HANG_S

import inspector

PAGE = Path(__file__).parents[2].joinpath("docs/reference/artifact.md").read_text(encoding="utf-8")


def _example(language: str, n: int = 0) -> str:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[n]


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A folder with the files that the examples name."""
    shutil.copyfile(tiny, tmp_path / "weldnet.pt")
    Image.fromarray(picture(1)).save(tmp_path / "image.png")
    picture(1).tofile(tmp_path / "pixels.bin")
    return tmp_path


@pytest.fixture
def expected(folder: Path) -> inspector.Judgement:
    """The station's judgement on the same image."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return inspector.load(folder / "weldnet.pt").judge(folder / "image.png")
    finally:
        torch.set_num_threads(threads)


def test_the_python_example_gives_the_stations_probabilities(folder: Path, expected: inspector.Judgement):
    """Plain torch.jit.load gives the probability of each class that the station gives."""
    done = subprocess.run(
        [sys.executable, "-c", _example("python")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
    )
    printed = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert {name: float(value) for name, value in printed.items()} == pytest.approx(expected.probabilities)


@pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no C++ compiler")
def test_the_cpp_example_compiles_and_gives_the_same(folder: Path, expected: inspector.Judgement):
    """The C++ program, compiled by the page's own command, prints the same probabilities and novelty."""
    (folder / "judge.cpp").write_text(_example("cpp"))
    height, width = np.shape(picture(1))
    commands = PAGE.split("are enough to compile it:")[1]
    commands = re.findall(r"```sh\n(.*?)```", commands, re.DOTALL)[0].replace("974 800", f"{height} {width}")
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    *probabilities, novelty = done.stdout.splitlines()
    assert list(map(float, probabilities)) == pytest.approx(list(expected.probabilities.values()))
    assert float(novelty.split()[1]) == pytest.approx(expected.novelty)
