"""Augmentation: the changes that it makes, and the values that it keeps."""

from __future__ import annotations

import pytest
import torch

from trainer.data.augmentation import Augmentation, BatchAugmentation
from trainer.data.frames import training_size

both = pytest.mark.parametrize("kind", [Augmentation, BatchAugmentation])
STILL = {"rotation": 0.0, "flip": 0.0, "brightness": 0.0, "contrast": 0.0}


def ramp(height: int, width: int) -> torch.Tensor:
    """Make uint8[1, 1, height, width] in which each column has its own grey value."""
    return torch.arange(width, dtype=torch.uint8).expand(1, 1, height, width).clone()


def test_paper_size_is_kept_for_the_paper_crop() -> None:
    """Views of 400×487 from crops of three quarters need frames of 533×649; whole frames need no more."""
    assert training_size(487, 400, 0.75) == (649, 533)
    assert training_size(487, 400, 1.0) == (487, 400)


@both
def test_one_crop_size_takes_pixels_as_they_are(kind) -> None:
    """At the paper's setting a crop is not resampled: its columns stay neighbours."""
    augment = kind(96, 72, crop=(0.75, 0.75), **STILL)
    torch.manual_seed(0)
    views = augment(ramp(128, 96).expand(20, 1, 128, 96))
    assert views.shape == (20, 1, 96, 72)
    assert views.dtype == torch.uint8
    assert (views.diff(dim=3) == 1).all()
    assert len({int(view[0, 0, 0]) for view in views}) > 5  # crops have different places


@both
def test_crops_vary_in_size_within_their_range(kind) -> None:
    """A range of crops shows between half of the frame and all of it, at one size."""
    augment = kind(64, 64, crop=(0.5, 1.0), **STILL)
    torch.manual_seed(0)
    views = augment(ramp(128, 128).expand(40, 1, 128, 128)).float()
    shown = views[:, 0, 0, -1] - views[:, 0, 0, 0]
    assert 60 <= shown.min() < 80
    assert 110 < shown.max() <= 127


@both
def test_flip_rotation_and_light_each_do_their_part(kind) -> None:
    """Each strength has its own effect, and a strength of zero has none."""
    frame = ramp(64, 64).expand(16, 1, 64, 64) * 2
    torch.manual_seed(0)
    assert torch.equal(kind(64, 64, crop=(1, 1), **STILL)(frame), frame)
    flipped = kind(64, 64, crop=(1, 1), **STILL | {"flip": 1.0})(frame)
    assert torch.equal(flipped, frame.flip(3))
    turned = kind(64, 64, crop=(1, 1), **STILL | {"rotation": 30.0})(frame + 100)
    assert (turned[:, 0, 0, 0] == 0).any()  # black corners
    lit = kind(64, 64, crop=(1, 1), **STILL | {"brightness": 0.5})(frame).float().mean((1, 2, 3))
    assert lit.std() > 5


@both
def test_corners_of_a_rotation_reflect_the_crop(kind) -> None:
    """With ``fill="reflect"`` a turned view has values of its crop only, also if it is narrow."""
    for height, width, angle in ((64, 64, 30.0), (490, 64, 180.0), (64, 300, 90.0)):
        frame = torch.full((8, 1, 2 * height, 2 * width), 200, dtype=torch.uint8)
        frame[..., height // 2 : height, width // 2 : width] = 100
        torch.manual_seed(0)
        turned = kind(height, width, crop=(0.5, 0.5), fill="reflect", **STILL | {"rotation": angle})(frame)
        assert turned.shape == (8, 1, height, width)
        assert turned.min() >= 100, "no black corner"


@both
def test_a_reflected_corner_is_the_mirror_image(kind) -> None:
    """A wide view that is turned by a quarter shows itself, and its mirror image left and right of itself."""
    rows = (torch.arange(32, dtype=torch.uint8) * 4).view(1, 1, 32, 1).expand(1, 1, 32, 64)
    augment = kind(32, 64, crop=(1, 1), fill="reflect", **STILL | {"rotation": 90.0})
    for seed in range(1000):
        torch.manual_seed(seed)
        view = augment(rows)[0, 0].double()
        if view.diff(dim=0).abs().mean() < 0.1:  # each column has one grey value: nearly 90 degrees
            break
    across = view.mean(dim=0)
    middle = across[16:48]
    assert middle.diff().abs().mean() == pytest.approx(4, abs=0.2), "a pixel across is a pixel down"
    torch.testing.assert_close(across[:16].flip(0), middle[:16], rtol=0, atol=2)
    torch.testing.assert_close(across[48:].flip(0), middle[16:], rtol=0, atol=2)


@both
def test_the_share_of_rotations(kind) -> None:
    """As many views are turned as ``rotation_share`` says, none for 0 and each for 1."""
    frames = (ramp(32, 32) * 7).expand(400, 1, 32, 32)
    for share, least, most in ((0.0, 0, 0), (0.5, 150, 250), (1.0, 380, 400)):
        torch.manual_seed(0)
        augment = kind(
            32, 32, crop=(1, 1), rotation_share=share, fill="reflect", **STILL | {"rotation": 30.0}
        )
        turned = sum(not torch.equal(view, frames[0]) for view in augment(frames))
        assert least <= turned <= most


@both
def test_same_seed_same_views(kind) -> None:
    """The global generator decides for each frame: the same seed gives the same views."""
    augment = kind(64, 64, crop=(0.6, 1.0), rotation=30, flip=0.5, brightness=0.2, contrast=0.2)
    frames = ramp(100, 100).expand(4, 1, 100, 100)
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(augment(frames))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert not torch.equal(views[0][0], views[0][1])


@both
def test_crops_are_stretched_either_way_and_flips_go_both_ways(kind) -> None:
    """Crops are stretched by the aspect within the frame; a vertical flip turns frames upside down."""
    rows = torch.arange(64, dtype=torch.uint8).view(1, 1, 64, 1).expand(1, 1, 64, 64)
    upside = kind(64, 64, crop=(1, 1), flip_vertical=1.0, **STILL)(rows)
    assert torch.equal(upside, rows.flip(2))
    torch.manual_seed(0)
    stretched = kind(64, 64, crop=(0.6, 0.6), aspect=2.0, **STILL)
    spans = [int(view.max()) - int(view.min()) for view in stretched(rows.repeat(40, 1, 1, 1).contiguous())]
    assert min(spans) < 0.55 * 63 < 0.65 * 63 < max(spans)


def test_batches_are_varied_as_much_as_single_frames() -> None:
    """Both kinds blacken the corners, crop the frame and change the light by the same amounts."""
    frames = (ramp(96, 80) + 100).expand(400, 1, 96, 80)
    statistics = []
    for kind in (Augmentation, BatchAugmentation):
        torch.manual_seed(3)
        turned = kind(64, 48, crop=(0.6, 1), **STILL | {"rotation": 30.0})(frames)
        lit = kind(64, 48, crop=(0.6, 1), **STILL | {"brightness": 0.3, "contrast": 0.3})(frames).float()
        spans = lit.amax((1, 2, 3)) - lit.amin((1, 2, 3))
        statistics.append(
            [(turned < 50).double().mean(), lit.mean(), lit.mean((1, 2, 3)).std(), spans.mean(), spans.std()]
        )
    single, batches = (torch.tensor(values) for values in statistics)
    torch.testing.assert_close(batches, single, rtol=0.12, atol=0)
