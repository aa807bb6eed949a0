"""Classes with few frames: the loss and the sampler do what their formulas say."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_samples import augmentation, frame_set, hyperparameters, tiny

from trainer.data.frames import FrameSet
from trainer.errors import RecipeError
from trainer.learning import imbalance, training
from trainer.learning.distillation import PseudoLabels
from trainer.recipe import Recipe, Training

LABELS = torch.tensor([0] * 16 + [1] * 4)  # shares 0.8 and 0.2


class Constant(nn.Module):
    """A network with the same logits for every frame."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, frames: Tensor) -> Tensor:
        """Return the logits, once per frame."""
        return self.logits.expand(len(frames), -1)


def imbalanced() -> FrameSet:
    """Twenty frames, of which four are of class 1."""
    frames = frame_set(20)
    return FrameSet(frames.images, LABELS, frames.frames)


def loss(folder: Path, network: nn.Module, **changes: float) -> float:
    """Return the mean loss of an epoch that changes almost nothing."""
    how = hyperparameters(epochs=1, learning_rate=1e-12, **changes)
    (epoch,) = training.fit(network, imbalanced(), augmentation(), how, checkpoint=folder / "c.pt")
    return epoch.train_loss


def test_the_loss_adds_the_shares_of_the_classes(tmp_path: Path) -> None:
    """With τ the loss is the cross entropy of logits + τ·log(share), and without τ that of the logits."""
    logits = torch.tensor([0.3, -0.4])
    wanted = nn.functional.cross_entropy(
        (logits + 0.5 * torch.tensor([0.8, 0.2]).log()).expand(20, 2), LABELS
    )
    (tmp_path / "plain").mkdir()
    assert loss(tmp_path, Constant(0.3, -0.4), logit_adjustment=0.5) == pytest.approx(wanted.item(), abs=1e-5)
    plain = nn.functional.cross_entropy(logits.expand(20, 2), LABELS)
    assert loss(tmp_path / "plain", Constant(0.3, -0.4)) == pytest.approx(plain.item(), abs=1e-5)


def test_a_network_that_sees_nothing_answers_for_equal_classes(tmp_path: Path) -> None:
    """With τ = 1 logits that cannot depend on the frame end equal, whatever the shares of the classes."""
    network = Constant(0.0, 0.7)
    how = hyperparameters(epochs=20, learning_rate=0.2, milestones=[15], logit_adjustment=1.0)
    training.fit(network, imbalanced(), augmentation(), how, checkpoint=tmp_path / "c.pt")
    first, second = network.logits.tolist()
    assert first == pytest.approx(second, abs=0.2)


@pytest.mark.parametrize(("exponent", "views"), [(0.0, (16, 4)), (0.5, (13.3, 6.7)), (1.0, (10, 10))])
def test_rare_classes_are_drawn_more_often(exponent: float, views: tuple[float, float]) -> None:
    """A class has views in proportion to n^(1-exponent), and its frames have the same number, up to one."""
    torch.manual_seed(0)
    rows = imbalance.balanced_rows(LABELS, exponent)
    times = torch.bincount(rows, minlength=20)
    assert len(rows) == 20
    for label, expected in enumerate(views):
        of_class = times[label == LABELS]
        assert abs(float(of_class.sum()) - expected) < 6
        assert int(of_class.max() - of_class.min()) <= 1
    many = torch.cat([imbalance.balanced_rows(LABELS, exponent) for _ in range(200)])
    share = float((LABELS[many] == 1).double().mean())
    assert share == pytest.approx(views[1] / 20, abs=0.02)
    assert share == pytest.approx(imbalance.log_shares(LABELS, 2, exponent).exp()[1].item(), abs=0.02)


def test_frames_without_labels_are_drawn_once() -> None:
    """Frames without a label keep their number, however the labelled ones are drawn."""
    labels = torch.cat([LABELS, torch.full((20,), -1)])
    many = torch.cat([imbalance.balanced_rows(labels, 1.0) for _ in range(50)])
    assert float((labels[many] == -1).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert imbalance.log_shares(labels, 3, 0.0).exp().tolist()[:2] == pytest.approx([16 / 21, 4 / 21])


def test_the_student_learns_labels_for_the_shares_of_its_loss() -> None:
    """Teachers that answer for equal classes label frames for the shares that the student's loss adds."""
    added = imbalance.adjustment(LABELS, 2, Training(logit_adjustment=1.0))
    labels = PseudoLabels([Constant(0.0, 0.0)] * 2, kind="mean", k=2, adjustment=added)
    assert labels(torch.zeros(3, 1, 8, 8), torch.zeros(3, 2))[0].tolist() == pytest.approx([0.8, 0.2])


@pytest.mark.parametrize("how", [{"logit_adjustment": 1.0}, {"balanced_sampling": 1.0}])
def test_a_linear_model_is_shifted_to_the_shares_of_the_networks(how: dict[str, float]) -> None:
    """A linear model that knows nothing but the shares answers for equal classes, as the networks do."""
    shift = imbalance.shift_of_linear_model(LABELS, 2, Training(**how))
    assert shift is not None
    assert (torch.tensor([0.8, 0.2]).log() + shift).softmax(0).tolist() == pytest.approx([0.5, 0.5])
    assert imbalance.shift_of_linear_model(LABELS, 2, Training()) is None


def test_both_are_off_by_default(tmp_path: Path) -> None:
    """A training with both keys at 0 ends with the weights of one without the keys."""
    ends = []
    for number, changes in enumerate([{}, {"logit_adjustment": 0, "balanced_sampling": 0}]):
        network = tiny()
        training.fit(
            network,
            imbalanced(),
            augmentation(),
            hyperparameters(epochs=1, **changes),
            checkpoint=tmp_path / f"{number}.pt",
        )
        ends.append(torch.cat([weights.flatten().double() for weights in network.state_dict().values()]))
    assert torch.equal(*ends)
    with pytest.raises(RecipeError, match="balanced_sampling"):
        Recipe.from_values({"name": "x", "training": {"balanced_sampling": 1.5}}, "recipe")
