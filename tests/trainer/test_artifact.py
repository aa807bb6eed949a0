"""The artifact: a student that does not fit is refused early, and files are written in one step."""

import io
import zipfile

import numpy as np
import pytest
import torch
from artifact_samples import CLASSES, TINY, compiled, frames, picture, student
from torch.nn import functional as F

from inspector.network import metadata
from inspector.network.metadata import ArtifactError, Thresholds
from trainer.artifact.fitting import fit_ranges
from trainer.network.weldnet import WeldNet, WeldNetConfig


def test_metadata_travels_with_the_file(tmp_path):
    """The file's metadata are those it was compiled with, the network's shape included."""
    written = compiled(
        tmp_path / "a.pt", thresholds=Thresholds(accept=0.9), temperature=1.5, git_commit="abc"
    )
    read = metadata.read(tmp_path / "a.pt")
    assert read == written
    assert (read.height, read.width, read.class_names) == (72, 64, [c.name for c in CLASSES])
    assert WeldNetConfig(**read.network) == TINY
    assert read.quantization == "dynamic"
    assert read.torch_version == torch.__version__


@pytest.mark.parametrize("scheme", ["dynamic", "none"])
def test_forward_follows_the_contract(tmp_path, scheme):
    """Probabilities sum to 1, heat is from 0 to 1 at the features' size, and novelty without a fit is 0."""
    compiled(tmp_path / "a.pt", scheme=scheme)
    module = torch.jit.load(str(tmp_path / "a.pt"))
    probabilities, heat, novelty = module(frames(4, 72, 64))
    torch.testing.assert_close(probabilities.sum(1), torch.ones(4))
    assert heat.shape == (4, 9, 8)
    assert float(heat.amin()) == 0
    assert float(heat.amax()) == 1
    assert torch.equal(novelty, torch.zeros(4))
    assert {answer.dtype for answer in (probabilities, heat, novelty)} == {torch.float32}


def test_temperature_softens_the_probabilities(tmp_path):
    """The probabilities are the softmax of the student's logits over the temperature."""
    network = student()
    compiled(tmp_path / "a.pt", network, scheme="none", temperature=2.5)
    batch = frames(3, 72, 64)
    expected = F.softmax(network(batch / 255) / 2.5, dim=1)
    torch.testing.assert_close(torch.jit.load(str(tmp_path / "a.pt"))(batch)[0], expected)


def test_the_heat_map_shows_the_evidence(tmp_path):
    """The heat map is the top class's evidence beyond a black frame's, scaled to 0 to 1."""
    network = student()
    compiled(tmp_path / "a.pt", network, scheme="none")
    frame = frames(1, 72, 64)
    features = network.features(frame / 255)[0]
    features = features - network.features(torch.zeros_like(frame) / 255)[0]
    evidence = torch.einsum("fhw,f->hw", features, network.head.weight[network(frame / 255).argmax()])
    expected = (evidence - evidence.min()) / (evidence.max() - evidence.min())
    torch.testing.assert_close(torch.jit.load(str(tmp_path / "a.pt"))(frame)[1][0], expected)


@pytest.mark.parametrize("scheme", ["dynamic", "static", "none"])
def test_a_black_frame_has_no_heat(tmp_path, scheme):
    """A black frame has no heat, one with a trace of structure less than full, a usual one full heat."""
    network = student()
    compiled(tmp_path / "a.pt", network, scheme=scheme, ranges=fit_ranges(network, frames(8, 72, 64)))
    module = torch.jit.load(str(tmp_path / "a.pt"))
    usual = frames(1, 72, 64)
    heat = module(torch.cat([torch.zeros_like(usual), usual // 64, usual]))[1].amax((1, 2))
    assert float(heat[0]) == pytest.approx(0, abs=1e-3)
    assert float(heat[1]) < 0.9
    assert float(heat[2]) == 1


def test_static_int8_that_was_calibrated_on_dark_frames_is_refused(tmp_path):
    """Ranges of a tenth, as dark frames give them, clip the maps: other classes, and no file is written."""
    network = student(seed=1)
    dark = {name: reach / 10 for name, reach in fit_ranges(network, frames(8, 72, 64)).items()}
    golden = [picture(seed) for seed in range(6)]
    with pytest.raises(
        ArtifactError, match=r"fp32 student's class on [0-4] of 6 frames only; use --scheme dynamic"
    ):
        compiled(tmp_path / "a.pt", network, scheme="static", ranges=dark, golden_images=golden)
    assert list(tmp_path.iterdir()) == []


def test_the_agreement_on_held_out_frames_decides(tmp_path):
    """Int8 with the student's class on 85 of 100 held-out frames is refused, and with 95 of 100 it is not."""
    with pytest.raises(ArtifactError, match="on 85 of 100 frames only; use --scheme none"):
        compiled(tmp_path / "a.pt", agreement=(85, 100))
    compiled(tmp_path / "a.pt", agreement=(95, 100))


def test_frames_of_another_size_are_refused(tmp_path):
    """Frames of another size are refused, because the network has never learnt their scale."""
    compiled(tmp_path / "a.pt")
    module = torch.jit.load(str(tmp_path / "a.pt"))
    with pytest.raises(torch.jit.Error, match="frames must be uint8"):
        module(frames(1, 80, 64))


def test_golden_answers_are_the_files_own(tmp_path):
    """golden.npz has at most three frames, this file's answers to them, and the PNG of the first one."""
    compiled(tmp_path / "a.pt", golden_images=[picture(seed, 974, 800) for seed in range(5)])
    golden = np.load(io.BytesIO(metadata.extra_file(tmp_path / "a.pt", "golden.npz")))
    assert golden["frames"].shape == (3, 1, 72, 64)
    answers = torch.jit.load(str(tmp_path / "a.pt"))(torch.from_numpy(golden["frames"]))
    for name, answer in zip(("probabilities", "heat", "novelty"), answers, strict=True):
        np.testing.assert_array_equal(golden[name], answer.numpy())
    assert golden["png"].tobytes().startswith(b"\x89PNG")


def test_int8_is_under_a_third_of_fp32(tmp_path):
    """The paper's int8 file is less than a third of fp32's, even with golden frames of pure noise."""
    network = student(WeldNetConfig(classes=3))
    noise = [np.random.default_rng(seed).integers(0, 256, (974, 800), dtype=np.uint8) for seed in range(3)]
    for scheme in ("dynamic", "none"):
        compiled(tmp_path / scheme, network, scheme=scheme, golden_images=noise)
    assert (tmp_path / "dynamic").stat().st_size * 3 < (tmp_path / "none").stat().st_size


def _not_a_number():
    network = student()
    network.head.weight[0, 0] = float("nan")
    return network


@pytest.mark.parametrize(
    ("network", "changes", "message"),
    [
        (None, {"scheme": "int4"}, "scheme 'int4' is not one of dynamic, static, none"),
        (None, {"classes": CLASSES[:2]}, "the student has 3 classes, but 2 are named"),
        (None, {"golden_images": []}, "no golden image"),
        (_not_a_number(), {}, "weights that are not numbers"),
        (WeldNet(WeldNetConfig(in_channels=3, classes=3, stem=4)), {}, "takes 3 channels"),
    ],
)
def test_a_wrong_argument_is_refused(tmp_path, network, changes, message):
    """A student or an argument that does not fit is refused in one line, and no file appears."""
    with pytest.raises(ArtifactError, match=message) as caught:
        compiled(tmp_path / "a.pt", network, **changes)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    """If the new file cannot be written, one line says so, and the old one stays."""
    (tmp_path / "a.pt").mkdir()
    with pytest.raises(ArtifactError, match="cannot be written"):
        compiled(tmp_path / "a.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


def test_the_file_is_a_plain_zip(tmp_path):
    """The standard library can read both extra files from the archive."""
    compiled(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist() if "/extra/" in name}
    assert names == {"metadata.json", "golden.npz"}
