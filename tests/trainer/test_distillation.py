"""Algorithm 1: the labels of the student's views."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from training_samples import augmentation, frame_set, hyperparameters, tiny

from trainer.learning import training
from trainer.learning.distillation import PseudoLabels
from trainer.network.ensemble import pseudo_label
from trainer.network.prediction import as_input, predict


class Watching(nn.Module):
    """A teacher that records the views it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.network = tiny()
        self.views: list[Tensor] = []

    def forward(self, views: Tensor) -> Tensor:
        self.views.append(views.clone())
        logits: Tensor = self.network(views)
        return logits


def test_labels_are_the_ensembles_and_ignore_true_labels() -> None:
    """Pseudo labels are eq. 2 over the teachers' probabilities, normalized, with any true labels."""
    teachers = [tiny(), tiny()]
    nn.init.normal_(teachers[1].head.weight)
    views = as_input(frame_set(4, side=64).images)
    labels = PseudoLabels(teachers, kind="focal", k=2)
    probabilities = torch.stack([teacher.eval()(views).softmax(1) for teacher in teachers]).detach()
    wanted = pseudo_label(probabilities, "focal", 2)
    for true in (torch.eye(2)[[0, 0, 0, 0]], torch.eye(2)[[1, 1, 1, 1]]):
        assert torch.equal(labels(views, true), wanted)


def test_teachers_see_the_students_views_and_never_learn(tmp_path: Path) -> None:
    """Teacher and student see the same augmented view (line 9), and the teacher does not change."""
    teacher, seen = Watching(), []
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    student = tiny()
    student.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))

    plan = hyperparameters(epochs=1)
    labels = PseudoLabels([teacher], kind="mean", k=2)
    training.fit(student, frame_set(), augmentation(), plan, checkpoint=tmp_path / "s.pt", targets=labels)

    assert len(seen) == len(teacher.views) == 3
    assert all(torch.equal(one, other) for one, other in zip(seen, teacher.views, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not torch.equal(next(student.parameters()), next(teacher.network.parameters()))


def test_a_student_takes_over_what_its_teachers_know(tmp_path: Path) -> None:
    """With inverted true labels, the student still learns the teacher's labels."""
    frames, unseen = frame_set(), frame_set(40, side=64)
    plan = hyperparameters(epochs=12, milestones=[9], learning_rate=0.05)
    teacher, student = tiny(), tiny()
    training.fit(teacher, frames, augmentation(), plan, checkpoint=tmp_path / "t.pt")
    wrong = replace(frames, labels=1 - frames.labels)
    labels = PseudoLabels([teacher], kind="focal", k=2)
    training.fit(student, wrong, augmentation(), plan, checkpoint=tmp_path / "s.pt", targets=labels)
    answers = predict(student, unseen.images).argmax(dim=1)
    assert (answers == unseen.labels).double().mean() >= 0.9


def test_true_labels_are_blended_into_labelled_frames_only() -> None:
    """A labelled frame's target is blended with its true label; an unlabelled frame's is the ensemble's."""
    views = as_input(frame_set(2, side=64).images)
    pure, blended = (
        PseudoLabels([tiny()], kind="mean", k=2, true_labels=share)(
            views, torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        )
        for share in (0.0, 0.25)
    )
    assert torch.allclose(blended[0], 0.75 * pure[0] + 0.25 * torch.tensor([0.0, 1.0]))
    assert torch.equal(blended[1], pure[1])
