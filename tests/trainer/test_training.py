"""Training of one network: the printed schedule, repeatable weights, and resuming."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from training_samples import augmentation, frame_set, hyperparameters, tiny

from trainer.errors import TrainerError, TrainingError
from trainer.learning import schedule, training
from trainer.learning.schedule import Hyperparameters
from trainer.learning.soft_targets import class_shares, mix
from trainer.network.prediction import predict
from trainer.network.weldnet import WeldNet, WeldNetConfig
from trainer.run.saving import save


def weights(network: nn.Module) -> torch.Tensor:
    """Return every weight and every batch-norm statistic in one row."""
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


def fit(checkpoint: Path, how: Hyperparameters | None = None) -> tuple[nn.Module, list[training.Epoch]]:
    """Train a tiny network."""
    network = tiny()
    history = training.fit(
        network, frame_set(), augmentation(), how or hyperparameters(), checkpoint=checkpoint
    )
    return network, history


def test_step_schedule_is_the_printed_one(tmp_path: Path) -> None:
    """The rate is 0.01 up to the milestone and a tenth of it afterwards, for any number of batches."""
    _, history = fit(tmp_path / "c.pt", hyperparameters(epochs=4, milestones=[2]))
    assert [epoch.learning_rate for epoch in history] == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_one_cycle_ends_near_zero(tmp_path: Path) -> None:
    """The schedule one_cycle rises to its peak and ends below its first rate."""
    plan = hyperparameters(epochs=6, schedule="one_cycle", learning_rate=0.1)
    rates = [epoch.learning_rate for epoch in fit(tmp_path / "c.pt", plan)[1]]
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) > 0.08
    assert rates[-1] < 0.03


def test_it_learns(tmp_path: Path) -> None:
    """Two classes that differ by a blot are learnt in a few epochs, measured on unseen frames."""
    network, unseen = tiny(), frame_set(40, side=64)
    plan = hyperparameters(epochs=12, milestones=[9], learning_rate=0.05)
    history = training.fit(
        network, frame_set(), augmentation(), plan, checkpoint=tmp_path / "c.pt", valid=unseen
    )
    assert history[-1].valid_accuracy is not None
    assert history[-1].valid_accuracy >= 0.9
    assert history[-1].train_loss < history[0].train_loss
    answers = predict(network, unseen.images).argmax(dim=1)
    assert (answers == unseen.labels).double().mean() == history[-1].valid_accuracy


def test_same_seed_same_weights_other_seed_other_weights(tmp_path: Path) -> None:
    """On one machine, the same seed gives the same weights, and another seed gives others."""
    one, two = fit(tmp_path / "1.pt")[0], fit(tmp_path / "2.pt")[0]
    other = fit(tmp_path / "3.pt", hyperparameters(seed=6))[0]
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))


def test_a_finished_checkpoint_is_not_trained_again(tmp_path: Path) -> None:
    """A finished checkpoint gives its weights and its history, without training."""
    network, history = fit(tmp_path / "c.pt")
    before = (tmp_path / "c.pt").stat()
    again, same = fit(tmp_path / "c.pt")
    assert torch.equal(weights(network), weights(again))
    assert same == history
    assert (tmp_path / "c.pt").stat().st_mtime_ns == before.st_mtime_ns
    assert training.epochs_done(tmp_path / "c.pt") == 3
    assert training.epochs_done(tmp_path / "none.pt") == 0


KILLED = """
    import sys
    import time
    from pathlib import Path

    sys.path[:0] = [{samples!r}, {root!r}]
    import training_samples as t

    batches = 0

    def count(frames):
        global batches
        batches += 1
        if batches == 5:  # in the middle of the second epoch
            print("ready", flush=True)
            time.sleep(3600)  # until it is killed

    where = Path(sys.argv[1])
    parts = t.tiny(), t.frame_set(), t.augmentation(), t.hyperparameters()
    t.training.fit(*parts, checkpoint=where, on_batch=count)
"""


def test_killed_with_sigkill_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    """A training that is killed within an epoch resumes after the last whole one, to bit-equal weights."""
    root = Path(__file__).parents[2]
    script = KILLED.format(samples=str(root / "tests" / "support"), root=str(root))
    checkpoint = tmp_path / "killed.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), checkpoint], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert training.epochs_done(checkpoint) == 1

    resumed, history = fit(checkpoint)
    unbroken, whole = fit(tmp_path / "whole.pt")

    assert torch.equal(weights(resumed), weights(unbroken))
    assert [replace(e, seconds=0, learning_seconds=0) for e in history] == [
        replace(e, seconds=0, learning_seconds=0) for e in whole
    ]


def test_a_loss_that_is_no_number_stops_and_names_the_batch(tmp_path: Path) -> None:
    """A loss of NaN stops training and names epoch, batch and frames; the last checkpoint stays."""
    frames = frame_set(20)
    fit(tmp_path / "c.pt", hyperparameters(epochs=1))

    def poisoned(views: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return torch.full((len(labels), 2), torch.nan)

    with pytest.raises(TrainingError, match=r"nan in epoch 2, batch 1 of 3 \(\d+\.png, .*learning_rate"):
        training.fit(
            tiny(), frames, augmentation(), hyperparameters(), checkpoint=tmp_path / "c.pt", targets=poisoned
        )
    assert training.epochs_done(tmp_path / "c.pt") == 1


def test_no_batch_of_one_frame(tmp_path: Path) -> None:
    """Nine frames in batches of eight become four and five, because batch norm refuses one frame."""
    sizes: list[int] = []
    plan = hyperparameters(epochs=1)
    training.fit(
        tiny(), frame_set(9), augmentation(), plan, checkpoint=tmp_path / "c.pt", on_batch=sizes.append
    )
    assert sorted(sizes) == [4, 5]


def test_saving_is_whole_or_not_at_all(tmp_path: Path) -> None:
    """A save that fails keeps the older file and leaves no other; the message names the file."""
    path = tmp_path / "c.pt"
    save({"a": 1}, path)
    with pytest.raises(TrainerError, match=r"nowhere.c\.pt: cannot be saved"):
        save({"a": 2}, tmp_path / "nowhere" / "c.pt")
    full = Path("/dev/full")
    if full.exists():
        (tmp_path / ".full.pt.tmp").symlink_to(full)
        with pytest.raises(TrainerError, match="cannot be saved"):
            save({"a": torch.zeros(1000)}, tmp_path / "full.pt")
    assert torch.load(path, weights_only=True) == {"a": 1}
    assert [found.name for found in tmp_path.iterdir()] == ["c.pt"]


def test_few_frames_take_several_passes_per_epoch() -> None:
    """With min_steps, few frames get batches of an eighth, and as many passes per epoch as needed."""
    plan = hyperparameters(epochs=60, min_steps=1400, batch_size=32)
    for frames, batches, passes in [(60, 8, 3), (300, 10, 3), (762, 24, 1), (26_666, 834, 1)]:
        assert (plan.batches(frames), plan.passes(frames)) == (batches, passes)
        assert batches * passes * plan.epochs >= 1400
    assert (hyperparameters().batches(60), hyperparameters().passes(60)) == (8, 1)


def test_the_average_forgets_where_it_began(tmp_path: Path) -> None:
    """The average of constant weights equals them from the first step, and follows a change with its lag."""
    network = nn.Linear(1, 1, bias=False)
    averaged = schedule.moving_average(network, steps=10)
    shown = []
    for step in range(200):
        nn.init.constant_(network.weight, 5.0 if step < 100 else 6.0)
        averaged.update_parameters(network)
        shown.append(averaged.module.weight.item())
    assert shown[:100] == pytest.approx([5.0] * 100)
    assert shown[109] == pytest.approx(6 - 0.9**10, abs=1e-4)
    assert shown[-1] == pytest.approx(6.0, abs=1e-4)


def test_with_all_options_it_learns_and_resumes(tmp_path: Path) -> None:
    """With mixup, smoothing, averaging and several passes a network learns; a stop changes no bit."""
    plan = hyperparameters(
        epochs=10,
        schedule="one_cycle",
        learning_rate=0.1,
        nesterov=True,
        mixup=0.2,
        label_smoothing=0.1,
        average_epochs=1,
        min_steps=60,
    )
    unseen = frame_set(40, side=64)
    whole = fit(tmp_path / "whole.pt", plan)[0]
    assert (predict(whole, unseen.images).argmax(1) == unseen.labels).double().mean() >= 0.9

    stopped = tmp_path / "stopped.pt"

    def stop(history: list[training.Epoch]) -> None:
        if len(history) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.fit(tiny(), frame_set(), augmentation(), plan, checkpoint=stopped, on_epoch=stop)
    assert training.epochs_done(stopped) == 4
    assert torch.equal(weights(fit(stopped, plan)[0]), weights(whole))


def test_bf16_learns_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With bf16 the weights stay fp32 and finite, and differ little from those of fp32."""
    monkeypatch.setattr(schedule, "MAX_NARROW", 0)  # two blocks leave no map of two columns
    half = fit(tmp_path / "half.pt", hyperparameters(precision="bf16"))[0]
    full = fit(tmp_path / "full.pt")[0]
    assert {weight.dtype for weight in half.parameters()} == {torch.float32}
    assert not torch.equal(weights(half), weights(full))
    assert torch.allclose(weights(half), weights(full), atol=0.1)


def test_a_checkpoint_of_a_gpu_resumes_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that a GPU saved is read into the CPU's memory, and training resumes from it."""

    def stop(history: list[training.Epoch]) -> None:
        raise KeyboardInterrupt

    checkpoint = tmp_path / "c.pt"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        training.fit(
            tiny(), frame_set(), augmentation(), hyperparameters(), checkpoint=checkpoint, on_epoch=stop
        )
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(checkpoint, weights_only=True)
    assert training.epochs_done(checkpoint) == 1
    assert torch.equal(weights(fit(checkpoint)[0]), weights(fit(tmp_path / "whole.pt")[0]))


def test_auto_is_fp32_on_a_gpu() -> None:
    """'auto' is fp32 on a GPU, on which bf16 makes WeldNet's steps longer, beside any CPU."""
    gpu = torch.device("cuda")
    with schedule.autocast("auto", gpu)(100):
        assert not torch.is_autocast_enabled("cuda")
    with schedule.autocast("auto")(100):
        able = torch.cpu.get_capabilities()
        assert torch.is_autocast_enabled("cpu") == bool(able.get("amx_bf16") or able.get("avx512_bf16"))


@pytest.mark.parametrize("width", [64, 66])
def test_bf16_gives_the_answers_of_fp32_on_narrow_frames(width: int) -> None:
    """Maps of two columns before a strided convolution are fp32, whose bf16 kernel leaves values unset."""
    torch.manual_seed(0)
    network = WeldNet(WeldNetConfig(height=96, width=width)).to(memory_format=torch.channels_last)
    frames = torch.rand(4, 1, 96, width).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = network(frames)
        with schedule.autocast("bf16")(width):
            answers = network(frames)
    assert torch.allclose(answers.float(), expected, atol=0.1)


def test_frames_without_a_label_have_no_share_of_any_class() -> None:
    """Class numbers become smoothed shares that sum to one, and -1 becomes a row of zeros."""
    shares = class_shares(torch.tensor([1, -1]), 4, 0.1)
    assert shares.tolist() == [pytest.approx([0.025, 0.925, 0.025, 0.025]), [0.0] * 4]


def test_mixup_keeps_the_larger_share_of_each_view() -> None:
    """Mixup blends each view with a partner, keeps at least half of it, and returns partner and share."""
    torch.manual_seed(3)
    views = torch.rand(6, 1, 2, 2)
    mixed, order, share = mix(views, 0.5)
    assert 0.5 <= share <= 1
    assert torch.allclose(mixed, share * views + (1 - share) * views[order])
    assert mix(views, 0.0)[0] is views


@pytest.mark.parametrize(
    ("min_steps", "frames", "size", "rate"),
    [(1400, 1000, 32, 0.04), (1400, 160, 20, 0.025), (1400, 60, 8, 0.01), (0, 60, 32, 0.04)],
)
def test_few_frames_are_learnt_in_small_batches_and_short_steps(min_steps, frames, size, rate):
    """With min_steps, a batch is an eighth of few frames, and the learning rate follows its size."""
    plan = hyperparameters(min_steps=min_steps, batch_size=32, learning_rate=0.04)
    assert plan.batches(frames) == -(-frames // size)
    assert plan.rate(frames) == pytest.approx(rate)
    optimizer, _ = schedule.make_optimizer(tiny(), plan, frames)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(rate)
