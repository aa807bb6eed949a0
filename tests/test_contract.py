"""The contract between the two programs: a file that needs no model code, and frames judged independently."""

import json
import os
import subprocess
import sys
import zipfile

import pytest
import torch
from artifact_samples import CLASSES, compiled, frames, student
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.network import artifact
from trainer.int8.ranges import calibrate
from trainer.network.weldnet import WeldNetConfig

# A station: no trainer, nothing that only training needs.
STATION = """
import json, sys, pathlib
for module in ("trainer", "torchvision", "torchmetrics", "matplotlib"):
    sys.modules[module] = None
import torch
from inspector.network import artifact
opened = artifact.open(pathlib.Path(sys.argv[1]))
frames = torch.load(sys.argv[2])
probabilities, heat, novelty = opened.forward(frames)
print(json.dumps({"names": opened.metadata.class_names, "probabilities": probabilities.tolist(),
                  "prepared": list(opened.prepare(torch.zeros(30, 40, dtype=torch.uint8).numpy()).shape)}))
"""


@pytest.fixture(scope="module", params=["dynamic", "static"])
def opened(request, tmp_path_factory):
    """A tiny artifact with odd sizes and every kind of block, as a station opens it."""
    out = tmp_path_factory.mktemp("contract") / "tiny.pt"
    compiled(out, scheme=request.param, ranges=calibrate(student(), frames(6, 72, 64)))
    return artifact.open(out)


def _at_a_station(path, batch, folder, **environment):
    torch.save(batch, folder / "frames.pt")
    answer = subprocess.run(
        [sys.executable, "-c", STATION, str(path), str(folder / "frames.pt")],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.mark.parametrize("scheme", ["dynamic", "none"])
def test_a_fresh_process_without_the_trainer_opens_it(tmp_path, scheme):
    """A station that has no trainer opens and proves the file, and gets this process's own answers."""
    compiled(tmp_path / "a.pt", scheme=scheme)
    batch = frames(3, 72, 64)
    answer = _at_a_station(tmp_path / "a.pt", batch, tmp_path)
    expected = artifact.open(tmp_path / "a.pt").forward(batch)[0]
    assert answer["names"] == [c.name for c in CLASSES]
    assert answer["prepared"] == [1, 72, 64]
    torch.testing.assert_close(torch.tensor(answer["probabilities"]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("scheme", "instructions"), [("dynamic", "AVX2"), ("static", "AVX2"), ("dynamic", "AVX512_CORE")]
)
def test_a_processor_without_vnni_agrees(tmp_path, scheme, instructions):
    """Without VNNI, where u8×s8 sums could saturate, golden frames hold and top classes stay the same."""
    shape = WeldNetConfig(classes=3, stem=32, plan=((1, 1), (2, 2), (1, 1)), height=72, width=64)
    network, batch = student(shape), frames(8, 72, 64)
    compiled(tmp_path / "a.pt", network, scheme=scheme, ranges=calibrate(network, batch))
    answers = _at_a_station(tmp_path / "a.pt", batch, tmp_path, ONEDNN_MAX_CPU_ISA=instructions)
    answer = torch.tensor(answers["probabilities"])
    expected = artifact.open(tmp_path / "a.pt").forward(batch)[0]
    assert len(set(expected.argmax(1).tolist())) > 1
    assert torch.equal(answer.argmax(1), expected.argmax(1))
    # With AVX-512 the dynamic stem's map is bfloat16, which this network of random weights amplifies.
    torch.testing.assert_close(answer, expected, rtol=0, atol=0.05)


def test_metadata_reads_with_the_standard_library(opened):
    """The file is a zip archive whose metadata.json is plain JSON."""
    with zipfile.ZipFile(opened.path) as archive:
        [entry] = [name for name in archive.namelist() if name.endswith("/extra/metadata.json")]
        metadata = json.loads(archive.read(entry))
    assert metadata["schema"] == 1
    assert [c["name"] for c in metadata["classes"]] == opened.metadata.class_names


FRAMES = frames(6, 72, 64)


@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=4),
)
def test_a_frame_is_judged_independently(opened, batches):
    """A frame's answers are the same bits in any batch and after any other frames."""
    alone = [opened.forward(frame) for frame in FRAMES.split(1)]
    for batch in batches:
        answers = opened.forward(FRAMES[batch])
        for place, index in enumerate(batch):
            for answer, expected in zip(answers, alone[index], strict=True):
                assert torch.equal(answer[place], expected[0])


def test_extreme_neighbours_do_not_matter(opened):
    """A black, a white and a noisy neighbour leave a frame's answers as they are, bit for bit."""
    torch.manual_seed(0)
    black, white = torch.zeros_like(FRAMES[:1]), torch.full_like(FRAMES[:1], 255)
    noise = torch.randint(0, 256, FRAMES[:1].shape, dtype=torch.uint8)
    together = opened.forward(torch.cat([black, FRAMES[:1], white, noise]))
    for answer, expected in zip(together, opened.forward(FRAMES[:1]), strict=True):
        assert torch.equal(answer[1], expected[0])
        assert answer.isfinite().all()
