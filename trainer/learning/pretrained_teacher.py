"""EfficientNet-Lite0 as one more teacher, beside the WeldNets.

As a *probe* its body stays frozen, and a logistic regression on its features is fitted. *Fine-tuned*, it
begins with that probe, and all its weights are trained at a low rate. The head is right already, so that the
first steps do not spoil the features (Kumar et al. 2022).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data.frames import FrameSet
from trainer.evaluation.linear_probe import fit
from trainer.learning.training import Epoch, read_checkpoint
from trainer.network import lite0
from trainer.network.prediction import as_input, predict
from trainer.recipe import Training
from trainer.run.saving import save

log = logging.getLogger(__name__)

NAME = lite0.TEACHER
SEED_NUMBER = 999  # beside 0 of the student, and 1 to 100 of the other teachers
# Training frames up to which 'auto' is the probe. Provisional: few frames are where fine-tuning overfits, and
# this number is to be measured on many sets of images.
MAX_FRAMES_FOR_PROBE = 300
MAX_VIEWS, ROWS = 8, 2000  # augmented views per frame that the probe is fitted to, and wished rows in all
FRAMES_PER_BATCH = 16
SHARE_OF_STEPS = 1 / 3  # of the other teachers' epochs and steps: it begins nearer to its end
LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.01  # of AdamW, for a full batch
# Of a forward pass per pixel, against a training step of WeldNet per pixel: about as much on one core. A
# training step of this network takes three passes.
PASS_COST, PASSES_PER_STEP = 1.0, 3
LEAST_LOGIT = -30.0  # the logarithm of a probability of 0 is infinite

Kind = Literal["probe", "fine_tuned"]


def kind_for(wanted: Literal["none", "probe", "fine_tuned", "auto"], frames: int) -> Kind | None:
    """Return what ``ensemble.pretrained`` means for so many training frames; None: no such teacher."""
    if wanted == "none":
        return None
    if wanted != "auto":
        return wanted
    kind: Kind = "probe" if frames <= MAX_FRAMES_FOR_PROBE else "fine_tuned"
    log.info("ensemble.pretrained: auto is %s for %d training frames", kind, frames)
    return kind


def changes(kind: Kind, training: Training) -> dict[str, Any]:
    """Return the hyperparameters that differ from the other teachers'."""
    if kind == "probe":
        return {"epochs": 1, "min_steps": 0}
    return {
        "epochs": math.ceil(training.epochs * SHARE_OF_STEPS),
        "min_steps": math.ceil(training.min_steps * SHARE_OF_STEPS),
        "milestones": [math.ceil(epoch * SHARE_OF_STEPS) for epoch in training.milestones],
        "average_epochs": training.average_epochs * SHARE_OF_STEPS,
        "optimizer": "adamw",
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
    }


def pass_cost(view: tuple[int, int]) -> float:
    """Return the cost of a forward pass of a view, against WeldNet's cost of learning from it."""
    return PASS_COST * math.prod(lite0.frame_size(*view)) / math.prod(view)


def views_per_frame(frames: int) -> int:
    """Return the number of augmented views of each frame that the probe is fitted to."""
    return max(1, min(MAX_VIEWS, ROWS // frames - 1))


def fit_head(
    network: lite0.Classifier,
    train: FrameSet,
    augment: Callable[[Tensor], Tensor],
    seed: int,
    *,
    device: torch.device,
    advance: Callable[[int], None] = lambda frames: None,
) -> Tensor:
    """Fit the last layer to whole frames and to augmented views, and return the whole frames' logits.

    Args:
        network: gets the layer, and ends on the device.
        train: frames as kept for augmentation.
        augment: kept frames → views, both uint8.
        seed: of the views.
        device: computes the features.
        advance: called after each batch with its number of frames.
    """
    torch.manual_seed(seed)
    network.to(device).eval()
    views = views_per_frame(len(train))
    rows = []
    with torch.inference_mode():
        for number in range(1 + views):
            for batch in torch.split(train.images, FRAMES_PER_BATCH):
                frames = batch.to(device)
                rows.append(network.body.features(as_input(augment(frames) if number else frames)).cpu())
                advance(len(batch))
    probe = fit(
        torch.cat(rows), train.labels.repeat(1 + views), network.head.out_features, train.groups * (1 + views)
    )
    with torch.no_grad():
        network.head.weight.copy_(probe.weights.T)
        network.head.bias.copy_(probe.bias)
    return probe.logits(torch.cat(rows)[: len(train)])


def train_probe(
    network: lite0.Classifier,
    fit_to_frames: Callable[[], Tensor],
    checkpoint: Path,
    *,
    labels: Tensor,
    valid: FrameSet | None,
    writes: bool,
) -> list[Epoch]:
    """Fit the probe, or read it from its checkpoint, and return its history of one line.

    Args:
        network: gets the fitted layer.
        fit_to_frames: fits it, and returns the logits of the whole training frames.
        checkpoint: file to read, or to write once the layer is fitted.
        labels: of the training frames.
        valid: prepared frames, only for the curves.
        writes: whether this process writes the checkpoint.
    """
    if checkpoint.exists():
        content = read_checkpoint(checkpoint)
        network.load_state_dict(content["network"])
        return [Epoch(**epoch) for epoch in content["history"]]
    start = time.monotonic()
    loss, accuracy = _assess(fit_to_frames(), labels)
    learnt = time.monotonic() - start
    valid_loss, valid_accuracy = None, None
    if valid is not None:
        valid_loss, valid_accuracy = _assess(predict(network, valid.images).log(), valid.labels)
    history = [Epoch(1, 0.0, loss, accuracy, valid_loss, valid_accuracy, time.monotonic() - start, learnt)]
    if writes:
        content = {"network": network.state_dict(), "history": [asdict(epoch) for epoch in history]}
        save(content, checkpoint)
    return history


def _assess(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return cross entropy and accuracy."""
    loss = F.cross_entropy(logits.clamp_min(LEAST_LOGIT), labels).item()
    return loss, float((logits.argmax(dim=1) == labels).double().mean())
