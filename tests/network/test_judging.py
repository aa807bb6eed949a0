"""Judging pictures from Python: an artifact alone gives the verdicts of a station."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from artifact_samples import compiled, picture, untrained
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

import inspector
from inspector.network import judging

PAGE = Path(__file__).parents[2] / "docs/how-to/judge-pictures.md"


@pytest.fixture(scope="module")
def network(tiny: Path) -> inspector.Network:
    """A tiny network, opened once."""
    return inspector.load(tiny)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A picture as a file."""
    return _saved(tmp_path / "image.png", 1)


def _saved(path: Path, seed: int) -> Path:
    Image.fromarray(picture(seed)).save(path)
    return path


def _fields(judgement: inspector.Judgement) -> tuple[object, ...]:
    heat = None if judgement.heat is None else judgement.heat.tobytes()
    one = judgement
    return one.verdict, one.label, one.confidence, one.probabilities, one.novelty, one.reason, heat


def test_importing_the_package_loads_nothing_else():
    """``import inspector`` is instant: it loads neither torch nor numpy, nor a module of this program."""
    program = (
        "import sys; before = set(sys.modules); import inspector\n"
        "new = {name for name in set(sys.modules) - before if name.startswith('inspector.')}\n"
        "sys.exit(bool(new or {'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_public_name_is_there():
    """Each name in ``__all__`` can be used, and any other is an ordinary AttributeError."""
    assert all(getattr(inspector, name) for name in inspector.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        inspector.lode  # noqa: B018


def test_a_path_bytes_and_an_array_give_the_same_judgement(network: inspector.Network, image: Path):
    """It does not matter how an image is handed over: every field is the same to the last bit."""
    expected = _fields(network.judge(image))
    for same in (str(image), image.read_bytes(), picture(1)):
        assert _fields(network.judge(same)) == expected


def test_a_link_is_followed(network: inspector.Network, image: Path):
    """A link to an image is judged like the image, unlike in a drop folder."""
    link = image.with_name("link.png")
    link.symlink_to(image.name)
    assert _fields(network.judge(link)) == _fields(network.judge(image))


def test_a_list_gives_a_list(network: inspector.Network):
    """A list longer than a batch gives one judgement for each image in order, as if each were alone."""
    images = [picture(seed) for seed in range(judging.FRAMES_PER_BATCH + 2)]
    assert [_fields(one) for one in network.judge(images)] == [_fields(network.judge(one)) for one in images]
    assert network.judge([]) == []


def test_a_frame_without_a_weld_is_review(network: inspector.Network):
    """A constant frame is REVIEW with the station's reason, whatever the network answers."""
    judgement = network.judge(np.full((80, 90), 7, np.uint8))
    assert (judgement.verdict, judgement.reason) == (inspector.Verdict.REVIEW, "blank")


def test_an_array_is_not_changed_and_may_be_read_only(network: inspector.Network):
    """A view, a read-only array and one with negative strides are judged, and stay as they are."""
    pixels = picture(1)
    pixels.setflags(write=False)
    expected = _fields(network.judge(pixels))
    assert _fields(network.judge(pixels[::-1][::-1])) == expected
    assert np.array_equal(pixels, picture(1))


def test_a_bad_image_is_one_line_that_names_it(network: inspector.Network, image: Path, tmp_path: Path):
    """A missing, cut or foreign file is an ImageError of one line with its name, also within a list."""
    cut, foreign, fifo = tmp_path / "cut.png", tmp_path / "notes.txt", tmp_path / "fifo.png"
    cut.write_bytes(image.read_bytes()[:200])
    foreign.write_text("no picture")
    os.mkfifo(fifo)
    expected = {
        tmp_path / "none.png": "unreadable",
        tmp_path: "not_a_file",
        fifo: "not_a_file",
        cut: "truncated",
        foreign: "not_an_image",
    }
    for bad, reason in expected.items():
        for given_as in (bad, [image, bad]):
            with pytest.raises(inspector.ImageError, match=re.escape(str(bad))) as caught:
                network.judge(given_as)
            assert caught.value.reason == reason
            assert "\n" not in str(caught.value)
    with pytest.raises(inspector.ImageError, match=re.escape("image[1]: has no bytes")):
        network.judge([image, b""])
    with pytest.raises(TypeError, match="not int"):
        network.judge(5)


@given(
    arrays.arrays(
        dtype=arrays.array_dtypes() | arrays.scalar_dtypes() | st.just(np.dtype(np.uint8)),
        shape=arrays.array_shapes(max_dims=3, max_side=20, min_side=0),
    )
)
def test_any_array_is_judged_or_refused(network: inspector.Network, pixels: np.ndarray):
    """An array of any type and shape is judged if it is a grey frame of 8×8 or more, else refused."""
    if pixels.dtype == np.uint8 and pixels.ndim == 2 and min(pixels.shape) >= 8:
        assert network.judge(pixels).verdict in inspector.Verdict
    else:
        with pytest.raises(inspector.ImageError, match=r"unsupported|too_small"):
            network.judge(pixels)


def test_a_network_is_proved_when_it_is_loaded(tmp_path: Path, tiny: Path):
    """A file whose golden frames belong to another network is refused, and so is one that is missing."""
    from artifact_samples import exchanged_golden

    compiled(tmp_path / "other.pt", untrained(seed=1))
    (tmp_path / "wrong.pt").write_bytes(exchanged_golden(tiny, tmp_path / "other.pt"))
    for name in ("wrong.pt", "none.pt"):
        with pytest.raises(inspector.ArtifactError, match=name):
            inspector.load(str(tmp_path / name))


def test_the_thresholds_are_those_of_the_artifact(network: inspector.Network):
    """The thresholds and the classes in force can be read."""
    assert network.thresholds["accept"] == network.metadata.thresholds.accept
    assert list(network.thresholds["defects"]) == ["burn through", "contamination"]


def test_the_example_of_the_page_runs(tiny: Path, image: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """The Python lines of the how-to page run as they are printed there."""
    [example] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (image.parent / "weldnet.pt").write_bytes(tiny.read_bytes())
    monkeypatch.chdir(image.parent)
    exec(compile(example, str(PAGE), "exec"), {})  # noqa: S102 - our own page
    assert len(capsys.readouterr().out.splitlines()) >= 4
