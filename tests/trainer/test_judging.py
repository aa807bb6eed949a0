"""Judging labelled frames: those that an artifact learnt from are left out, by their content."""

from __future__ import annotations

import copy
import io
import logging
from pathlib import Path

import numpy as np
import pytest
from artifact_samples import CLASSES, compiled, picture, student
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from inspector.imaging.decoder import content_hash
from inspector.network.metadata import ArtifactError, Thresholds, WeldClass
from trainer.errors import DataError
from trainer.evaluation.comparison import compare
from trainer.evaluation.report import evaluate_artifact
from trainer.run.progress import Progress


def progress() -> Progress:
    """Progress that prints nothing."""
    return Progress(Console(file=io.StringIO()))


def write(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image in the format of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve frames of three classes, in class folders."""
    for seed in range(12):
        write(tmp_path / "data" / CLASSES[seed % 3].name / f"{seed}.png", picture(seed))
    return tmp_path / "data"


def artifact(path: Path, seeds: range | None, seed: int = 0, **changes: object) -> Path:
    """An artifact that learnt from the pictures of these seeds; None: it does not say."""
    learnt = {} if seeds is None else {"training_frames": [content_hash(picture(each)) for each in seeds]}
    compiled(path, student(seed=seed), metrics={"n": 3} | learnt, **changes)
    return path


def test_frames_that_an_artifact_learnt_from_are_left_out(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A training frame is known by its pixels, under another name and in another format too, and is named."""
    path = artifact(tmp_path / "a.pt", range(4))
    write(data / CLASSES[0].name / "renamed copy.bmp", picture(3))
    with caplog.at_level(logging.WARNING):
        result = evaluate_artifact(path, data, None, progress())
    assert (result["n"], result["learnt_from"]) == (8, 5)
    assert sum(map(sum, result["confusion"])) == 8
    assert "5 of 13 frames are left out, because the artifact learnt from them" in caplog.text
    assert "and 2 more" in caplog.text


def test_an_artifact_that_learnt_from_every_frame_has_no_figures(data: Path, tmp_path: Path) -> None:
    """If no frame is left, evaluate refuses the data, and names the frames."""
    path = artifact(tmp_path / "a.pt", range(12))
    with pytest.raises(DataError, match="12 × learnt from") as caught:
        evaluate_artifact(path, data, None, progress())
    assert "give frames that it did not learn from" in str(caught.value.problems[0])


def test_an_older_artifact_cannot_say_what_it_learnt_from(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without recorded frames all are judged, the count is null, and a warning says why."""
    with caplog.at_level(logging.WARNING):
        result = evaluate_artifact(artifact(tmp_path / "a.pt", None), data, None, progress())
    assert (result["n"], result["learnt_from"]) == (12, None)
    assert "does not record the frames that it learnt from" in caplog.text


def test_a_comparison_leaves_out_what_either_artifact_learnt_from(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Both artifacts are judged on the frames that neither learnt from."""
    old, new = artifact(tmp_path / "old.pt", range(4)), artifact(tmp_path / "new.pt", range(2, 7), seed=1)
    result = compare(old, new, data, None, progress())
    assert (result["n"], result["learnt_from"]) == (5, 7)
    assert sum(each["frames"] for each in result["per_class"].values()) == 5
    with caplog.at_level(logging.WARNING):
        older = compare(artifact(tmp_path / "older.pt", None), new, data, None, progress())
    assert "older.pt does not record the frames that it learnt from: it cannot be excluded" in caplog.text
    assert (older["n"], older["learnt_from"]) == (7, None)


def test_a_comparison_goes_by_class_names(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another order changes no answer, and on a class that one artifact lacks it is wrong."""
    network = student()
    turned = copy.deepcopy(network)
    turned.head.weight.copy_(network.head.weight[[2, 0, 1]])
    turned.head.bias.copy_(network.head.bias[[2, 0, 1]])
    order = [CLASSES[2], CLASSES[0], CLASSES[1]]
    other = [CLASSES[2], WeldClass(name="crack", role="defect"), CLASSES[1]]
    paths = [tmp_path / f"{name}.pt" for name in ("old", "turned", "other")]
    for path, weights, classes in zip(paths, (network, turned, turned), (CLASSES, order, other), strict=True):
        compiled(path, weights, metrics={"n": 3, "training_frames": []}, classes=classes)
    same = compare(paths[0], paths[1], data, None, progress())
    assert (same["n"], same["only_old"], same["only_new"]) == (12, 0, 0)
    assert (same["only_old_knows"], same["only_new_knows"]) == ([], [])
    write(data / "crack" / "c.png", picture(30))
    lacks = compare(paths[0], paths[2], data, None, progress())
    assert (lacks["only_old_knows"], lacks["only_new_knows"]) == ([CLASSES[0].name], ["crack"])
    assert lacks["per_class"][CLASSES[0].name]["new"]["accuracy"] == 0
    assert lacks["per_class"]["crack"]["old"]["accuracy"] == 0
    assert f"only {paths[2]} knows crack: on their frames {paths[0]} is always wrong" in caplog.text


def test_a_comparison_reports_the_verdicts_of_both(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each artifact has the shares that evaluate reports of it; p is of the frames that only one counts."""
    low, high = Thresholds(accept=0.0, defect=1.0), Thresholds(accept=1.0, defect=0.0)
    old = artifact(tmp_path / "old.pt", range(2), thresholds=low)
    new = artifact(tmp_path / "new.pt", range(2), thresholds=high)
    found = compare(old, new, data, None, progress())["verdicts"]
    for side, path in (("old", old), ("new", new)):
        alone = evaluate_artifact(path, data, None, progress())
        assert {name: each[side] for name, each in found.items()} == {name: alone[name] for name in found}
    counts = {name: (each["only_old"], each["only_new"]) for name, each in found.items()}
    assert counts == {
        "passed": (10, 0),
        "failed": (0, 10),
        "review": (0, 0),
        "escapes": (7, 0),
        "overkill": (0, 3),
    }
    p = {name: each["p"] for name, each in found.items()}
    assert p == {
        "passed": 10 / 2**10,
        "failed": 10 / 2**10,
        "review": 1,
        "escapes": 6 / 2**7,
        "overkill": 0.5,
    }


def test_the_new_artifact_says_whether_a_class_is_a_defect(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """If a role has changed, both are compared by the new one, with a warning; without frames p is null."""
    old = artifact(tmp_path / "old.pt", range(0))
    defects = [WeldClass(name=c.name, role="defect") for c in CLASSES]
    new = artifact(tmp_path / "new.pt", range(0), classes=defects)
    with caplog.at_level(logging.WARNING):
        found = compare(old, new, data, None, progress())["verdicts"]
    assert "is of role accept in the old artifact and defect in the new one" in caplog.text
    assert (found["escapes"]["old"]["n"], found["overkill"]["old"]["n"]) == (12, 0)
    assert (found["overkill"]["p"], found["overkill"]["new"]["interval"]) == (None, None)


def test_an_unreadable_frame_is_named_once_in_a_comparison(data: Path, tmp_path: Path) -> None:
    """Both artifacts read the frames, but a frame that cannot be read is one problem."""
    (data / CLASSES[0].name / "0.png").write_bytes(b"no image")
    old, new = artifact(tmp_path / "old.pt", range(2)), artifact(tmp_path / "new.pt", range(2))
    with pytest.raises(DataError) as caught:
        compare(old, new, data, None, progress())
    assert len(caught.value.problems) == 1


def test_an_artifact_that_others_can_write_is_not_opened(data: Path, tmp_path: Path) -> None:
    """An artifact is code: evaluate and compare refuse one that somebody else may have written."""
    loose, sound = artifact(tmp_path / "loose.pt", None), artifact(tmp_path / "sound.pt", None)
    loose.chmod(0o666)
    with pytest.raises(ArtifactError, match=r"loose\.pt is not safe: everybody may write to"):
        evaluate_artifact(loose, data, None, progress())
    for old, new in ((loose, sound), (sound, loose)):
        with pytest.raises(ArtifactError, match=r"loose\.pt is not safe"):
            compare(old, new, data, None, progress())


def test_the_hash_is_of_size_and_pixels() -> None:
    """Equal bytes in another shape are another picture, and a view hashes as its copy."""
    pixels = picture(1)
    assert content_hash(pixels) == content_hash(np.asfortranarray(pixels))
    assert content_hash(pixels) == content_hash(pixels[:, ::-1][:, ::-1])
    assert content_hash(pixels) != content_hash(pixels.reshape(pixels.shape[1], pixels.shape[0]))
    assert len(content_hash(pixels)) == 16
