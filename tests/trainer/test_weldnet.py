"""WeldNet: the numbers that the paper prints, and the shapes that follow from them."""

import pytest
import torch

from trainer.network.weldnet import WeldNet, WeldNetConfig

TINY = WeldNetConfig(classes=3, stem=8, plan=((1, 1), (2, 2)), height=64, width=80)


def test_paper_setting_has_the_printed_parameter_count():
    """WeldNet() is the paper's network: 2,971,750 parameters, 0.30×10⁷ as printed."""
    assert sum(p.numel() for p in WeldNet().parameters()) == 2_971_750


def test_paper_frame_gives_six_logits():
    """A 1×487×400 frame gives one logit for each of the paper's six classes, from 512×8×7 features."""
    net = WeldNet().eval()
    with torch.inference_mode():
        frames = torch.rand(1, 1, 487, 400)
        assert net(frames).shape == (1, 6)
        assert net.features(frames).shape == (1, 512, 8, 7)


@pytest.mark.parametrize(("height", "width"), [(64, 64), (65, 97), (350, 640)])
def test_any_size_from_64_up(height, width):
    """The paper's network takes any frame of at least 64×64 pixels, of odd sizes too."""
    with torch.inference_mode():
        assert WeldNet().eval()(torch.rand(2, 1, height, width)).shape == (2, 6)


def test_features_are_not_negative():
    """No feature is negative, which the int8 network relies on."""
    with torch.inference_mode():
        assert WeldNet(TINY).eval().features(torch.rand(2, 1, 64, 80)).min() >= 0


def test_logits_are_the_head_of_the_pooled_features():
    """The logits are the last layer of the features' mean, which the heat map relies on."""
    net = WeldNet(TINY).eval()
    with torch.inference_mode():
        frames = torch.rand(2, 1, 64, 80)
        torch.testing.assert_close(net(frames), net.head(net.features(frames).mean(dim=(2, 3))))


def test_config_survives_json():
    """A configuration that was read from JSON, with lists, equals the one that was saved."""
    assert WeldNetConfig(plan=[[1, 1], [2, 2]]) == WeldNetConfig(plan=((1, 1), (2, 2)))


@pytest.mark.parametrize(
    "wrong",
    [{"classes": 1}, {"stem": 0}, {"in_channels": 0}, {"plan": ()}, {"plan": ((1, 3),)}, {"width": 63}],
)
def test_wrong_shapes_are_refused(wrong):
    """A configuration that gives no network is refused, and the message names the wrong value."""
    with pytest.raises(ValueError, match="|".join(wrong) + "|classes|frames|plan"):
        WeldNetConfig(**wrong)
