"""Augmentation keeps what it should and varies what it may."""

from __future__ import annotations

import torch

from trainer.augment import Augmentation
from trainer.frames import training_size

STILL = {"rotation": 0.0, "flip": 0.0, "brightness": 0.0, "contrast": 0.0}


def ramp(height: int, width: int) -> torch.Tensor:
    """uint8[1, 1, height, width], each column its own grey value."""
    return torch.arange(width, dtype=torch.uint8).expand(1, 1, height, width).clone()


def test_paper_size_is_kept_for_the_paper_crop() -> None:
    """400×487 behind crops of three quarters needs frames of 533×649; whole frames need no more."""
    assert training_size(487, 400, 0.75) == (649, 533)
    assert training_size(487, 400, 1.0) == (487, 400)


def test_one_crop_size_takes_pixels_as_they_are() -> None:
    """At the paper's setting a crop is cut, not resampled: its columns stay neighbours."""
    augment = Augmentation(96, 72, crop=(0.75, 0.75), **STILL)
    torch.manual_seed(0)
    views = augment(ramp(128, 96).expand(20, 1, 128, 96))
    assert views.shape == (20, 1, 96, 72)
    assert views.dtype == torch.uint8
    assert (views.diff(dim=3) == 1).all()
    assert len({int(view[0, 0, 0]) for view in views}) > 5  # crops lie in different places


def test_crops_vary_in_size_within_their_range() -> None:
    """A range of crops shows between half and all of the frame, at one size."""
    augment = Augmentation(64, 64, crop=(0.5, 1.0), **STILL)
    torch.manual_seed(0)
    views = augment(ramp(128, 128).expand(40, 1, 128, 128)).float()
    shown = views[:, 0, 0, -1] - views[:, 0, 0, 0]
    assert 60 <= shown.min() < 80
    assert 110 < shown.max() <= 127


def test_flip_rotation_and_light_each_do_their_part() -> None:
    """Each strength changes frames alone, and none of them at zero."""
    frame = ramp(64, 64).expand(16, 1, 64, 64) * 2
    torch.manual_seed(0)
    assert torch.equal(Augmentation(64, 64, crop=(1, 1), **STILL)(frame), frame)
    flipped = Augmentation(64, 64, crop=(1, 1), **STILL | {"flip": 1.0})(frame)
    assert torch.equal(flipped, frame.flip(3))
    turned = Augmentation(64, 64, crop=(1, 1), **STILL | {"rotation": 30.0})(frame + 100)
    assert (turned[:, 0, 0, 0] == 0).any()  # black corners
    lit = Augmentation(64, 64, crop=(1, 1), **STILL | {"brightness": 0.5})(frame).float().mean((1, 2, 3))
    assert lit.std() > 5


def test_same_seed_same_views() -> None:
    """The global generator decides, frame by frame: the same seed gives the same views."""
    augment = Augmentation(64, 64, crop=(0.6, 1.0), rotation=30, flip=0.5, brightness=0.2, contrast=0.2)
    frames = ramp(100, 100).expand(4, 1, 100, 100)
    views = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        views.append(augment(frames))
    assert torch.equal(views[0], views[1])
    assert not torch.equal(views[0], views[2])
    assert not torch.equal(views[0][0], views[0][1])


def test_crops_are_stretched_either_way_and_flips_go_both_ways() -> None:
    """Crops are stretched by aspect within the frame; a certain vertical flip turns frames upside down."""
    rows = torch.arange(64, dtype=torch.uint8).view(1, 1, 64, 1).expand(1, 1, 64, 64)
    upside = Augmentation(64, 64, crop=(1, 1), flip_vertical=1.0, **STILL)(rows)
    assert torch.equal(upside, rows.flip(2))
    torch.manual_seed(0)
    stretched = Augmentation(64, 64, crop=(0.6, 0.6), aspect=2.0, **STILL)
    spans = [int(view.max()) - int(view.min()) for view in stretched(rows.repeat(40, 1, 1, 1).contiguous())]
    assert min(spans) < 0.55 * 63 < 0.65 * 63 < max(spans)
