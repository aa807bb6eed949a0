"""Every figure of an artifact's metadata, computed again by NumPy from split file, frames and artifact."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import beta, binomtest
from tiny_runs import epochs, read_csv, run
from trainer_samples import class_folders

from inspector.imaging.decoder import content_hash, read_image
from inspector.network import metadata
from inspector.network.metadata import Metadata
from trainer import pipeline
from trainer.artifact.student import Student

CONFIDENCE = 0.95
CLEAR_MARGIN = 0.05  # in probability: a class that the fp32 student calls as likely as the first


class Recomputed:
    """What an artifact answers to the held-out frames of its split file."""

    def __init__(self, data: Path, out: Path, results: dict[str, Any]) -> None:
        self.out, self.results = out, results
        path = out / pipeline.ARTIFACT_FILE
        self.about: Metadata = metadata.read(path)
        rows = [row for row in read_csv(out / "split.csv") if row["part"] == "valid"]
        self.images = images = [read_image(data / row["path"]) for row in rows]
        self.probabilities, self.novelty = self._answers(path)
        names = self.about.class_names
        self.labels = np.array([names.index(row["label"]) for row in rows])
        self.runs = np.array([row["run"] for row in rows])
        tuned = set(self.about.metrics["tuning_frames"])
        self.tuning = np.array([content_hash(image) in tuned for image in images])
        self.right = self.probabilities.argmax(axis=1) == self.labels
        self.metrics: dict[str, Any] = self.about.metrics

    def answers_of(self, path: Path) -> NDArray[np.float64]:
        """The probabilities that another file gives to these frames."""
        return self._answers(path)[0]

    def _answers(self, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        network = torch.jit.freeze(torch.jit.load(str(path)).eval(), preserved_attrs=["prepare"])
        prepared = [network.prepare(torch.from_numpy(image)[None]) for image in self.images]
        answers = network(torch.stack(prepared))
        return answers[0].double().numpy(), answers[2].numpy()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Recomputed:
    """One run with 20 welding runs of each class, of which seven are held out."""
    folder = tmp_path_factory.mktemp("figures")
    data = class_folders(folder / "data", runs=20, frames=16)
    results = run(data, folder / "out", **epochs(2), ensemble={"teachers": 1})
    return Recomputed(data, folder / "out", results)


def over_runs(counted: NDArray[np.bool_], runs: NDArray[np.str_]) -> tuple[float, float]:
    """The exact 95% interval of a share with as many cases as there are runs."""
    n = len(set(runs))
    count = counted.mean() * n
    return (
        float(beta.ppf(0.025, count, n - count + 1)) if count else 0.0,
        float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0,
    )


def resampled(counted: NDArray[np.bool_], runs: NDArray[np.str_]) -> tuple[float, float]:
    """The 95% interval of a share by a bootstrap over whole runs, with the trainer's 2,000 draws."""
    names = list(dict.fromkeys(runs.tolist()))
    hits = np.array([counted[runs == run].sum() for run in names])
    sizes = np.array([(runs == run).sum() for run in names])
    drawn = torch.randint(len(names), (2000, len(names)), generator=torch.Generator().manual_seed(0)).numpy()
    low, high = np.quantile(hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def test_temperature_and_thresholds_reach_the_artifact(found: Recomputed) -> None:
    """With enough held-out frames, the fitted temperature and thresholds are in the artifact's metadata."""
    about, results = found.about, found.results
    assert results["n"] >= 200
    assert about.temperature == results["calibration"]["temperature"]
    assert about.calibrated == results["calibration"]["calibrated"]
    assert results["calibration"]["n"] == found.tuning.sum()
    assert about.thresholds.chosen.startswith("wanted: escapes within 1.0%")
    assert about.thresholds.accept == results["thresholds"]["accept"]
    assert results["thresholds"]["promise"] == found.metrics["promise"]
    assert results["models"]["artifact"]["calibration_error"] == found.metrics["calibration_error"]
    assert (found.out / "thresholds.png").stat().st_size > 5000


def test_no_run_both_tunes_and_is_reported(found: Recomputed) -> None:
    """Runs are on one side, half of each class's are reported, and the numbers are those recorded."""
    assert not set(found.runs[found.tuning]) & set(found.runs[~found.tuning])
    for label in (0, 1):
        own = found.labels == label
        assert len(set(found.runs[own & ~found.tuning])) >= len(set(found.runs[own])) / 2
    assert found.metrics["n"] == len(found.labels)
    assert found.metrics["tuned_on"] == found.tuning.sum() == len(found.metrics["tuning_frames"])
    assert 0 < found.tuning.sum() < len(found.labels)
    assert not set(found.metrics["tuning_frames"]) & set(found.metrics["training_frames"])


def test_accuracy_is_of_the_file_that_ships(found: Recomputed) -> None:
    """Accuracy, F1, balanced accuracy and the figures by class and run are the file's own."""
    metrics, names = found.metrics, found.about.class_names
    answers = found.probabilities.argmax(axis=1)
    assert metrics["accuracy"] == found.right.mean()
    scores = {}
    for i, name in enumerate(names):
        hits = (found.right & (found.labels == i)).sum()
        recall = hits / (found.labels == i).sum()
        precision = hits / max((answers == i).sum(), 1)
        f1 = 2 * hits / ((found.labels == i).sum() + (answers == i).sum())
        scores[name] = {"n": (found.labels == i).sum(), "precision": precision, "recall": recall, "f1": f1}
        assert metrics["per_class"][name] == pytest.approx(scores[name], abs=1e-6)
    assert metrics["macro_f1"] == pytest.approx(np.mean([s["f1"] for s in scores.values()]), abs=1e-6)
    assert metrics["balanced_accuracy"] == pytest.approx(
        np.mean([s["recall"] for s in scores.values()]), abs=1e-6
    )
    sizes = Counter(found.runs.tolist())
    assert metrics["by_run"] == {
        name: {"n": n, "accuracy": pytest.approx(found.right[found.runs == name].mean())}
        for name, n in sizes.items()
    }


def test_no_interval_is_over_frames_where_runs_are_known(found: Recomputed) -> None:
    """That of the accuracy is Wilson's with n = runs, or reaches as far as resampled runs do."""
    assert found.metrics["accuracy_interval"] is None
    n, share, z = len(set(found.runs)), found.right.mean(), 1.96
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = resampled(found.right, found.runs)
    expected = [min(centre - half, low), max(min(1, centre + half), high)]
    assert found.metrics["accuracy_interval_runs"] == pytest.approx(expected, abs=1e-4)
    for name in ("overkill", "review"):
        assert found.metrics[name]["interval_over"] == "runs"


def test_overkill_and_reviews_are_of_good_frames_that_fitted_nothing(found: Recomputed) -> None:
    """They are those of the good frames that did not tune, at the thresholds that ship."""
    accept, defect = found.about.thresholds.accept, found.about.thresholds.defect
    is_accept = np.array([c.role == "accept" for c in found.about.classes])
    good = is_accept[found.labels] & ~found.tuning
    failed = found.probabilities[:, ~is_accept].max(axis=1) >= defect
    passed = ~failed & (found.probabilities[:, is_accept].sum(axis=1) >= accept)
    for name, counted in (("overkill", failed), ("review", ~failed & ~passed)):
        figure, runs = found.metrics[name], found.runs[good]
        assert (figure["count"], figure["n"]) == (counted[good].sum(), good.sum())
        assert (figure["runs"], figure["share"]) == (len(set(runs)), pytest.approx(counted[good].mean()))
        ends = zip(over_runs(counted[good], runs), resampled(counted[good], runs), strict=True)
        expected = [pick(pair) for pick, pair in zip((min, max), ends, strict=True)]
        assert figure["interval"] == pytest.approx(expected, abs=1e-4)


def test_the_promise_is_the_exact_bound_of_runs_that_fitted_nothing(found: Recomputed) -> None:
    """Escapes are of the defective frames that did not tune; the promise is SciPy's bound over runs."""
    bad = found.about.class_names.index("bad")
    own = (found.labels == bad) & ~found.tuning
    passed = found.probabilities[own][:, 1 - bad] >= found.about.thresholds.accept
    escapes = found.metrics["escapes"]["bad"]
    runs = len(set(found.runs[own]))
    assert (escapes["frames"], escapes["runs"], escapes["passed"]) == (own.sum(), runs, passed.sum())
    reaches = found.probabilities[:, 1 - bad] >= found.about.thresholds.accept
    order = np.random.default_rng(0).permutation(len(found.labels))
    first = {(found.runs[i], found.labels[i]): i for i in reversed(order)}
    assert escapes["drawn_passed"] == sum(reaches[i] for i in first.values() if own[i])
    bound = binomtest(escapes["drawn_passed"], runs, alternative="less").proportion_ci(CONFIDENCE).high
    assert escapes["at_most"] == pytest.approx(bound)
    needed = runs + escapes["label_more"]
    for n, enough in ((needed, True), (needed - 1, False)):
        high = binomtest(escapes["drawn_passed"], n, alternative="less").proportion_ci(CONFIDENCE).high
        assert (high <= 0.01) == enough
    promise = found.metrics["promise"]
    assert (promise["escape"], promise["confidence"], promise["kept"]) == (0.01, CONFIDENCE, False)
    assert (promise["frames"], promise["runs"]) == (own.sum(), runs)
    assert promise["at_most"] == escapes["at_most"]
    assert found.about.promise == promise["words"]
    assert f"label {escapes['label_more']} more runs of it" in promise["words"]


def test_the_calibration_error_is_of_frames_that_did_not_tune(found: Recomputed) -> None:
    """It is the mean distance of accuracy from confidence over 15 bins of the other frames."""
    confidence, right = found.probabilities.max(axis=1)[~found.tuning], found.right[~found.tuning]
    bins = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    error = sum(
        abs(confidence[bins == i].mean() - right[bins == i].mean()) * (bins == i).mean() for i in set(bins)
    )
    assert found.metrics["calibration_error"] == pytest.approx(error, abs=1e-4)


def test_false_alarms_are_of_each_run_at_the_threshold_of_the_others(found: Recomputed) -> None:
    """The share of novel frames is that of runs that did not fit the threshold they are held against."""
    above = 0
    for name in set(found.runs):
        own = found.runs == name
        others = np.sort(found.novelty[~own])[::-1]
        limit = others[max(1, round(0.02 * (len(others) + 1))) - 1]
        above += (found.novelty[own] > limit).sum()
    assert found.metrics["novelty"]["expected_false_alarms"] == pytest.approx(
        above / len(found.runs), abs=2e-3
    )


def test_the_agreement_is_with_the_same_student_in_fp32(found: Recomputed, tmp_path: Path) -> None:
    """It is the share of held-out frames to which the fp32 file gives the same class, or one as likely."""
    Student.load(found.out / "student.pt").compile("none", tmp_path / "fp32.pt")
    exact = found.answers_of(tmp_path / "fp32.pt") ** metadata.read(tmp_path / "fp32.pt").temperature
    exact /= exact.sum(axis=1, keepdims=True)  # at a temperature of 1
    ours = found.probabilities.argmax(axis=1)
    margin = exact.max(axis=1) - exact[np.arange(len(exact)), ours]
    assert found.metrics["agreement_with_fp32"] == pytest.approx((margin <= CLEAR_MARGIN).mean())


def test_every_figure_of_the_metadata_is_checked_here(found: Recomputed) -> None:
    """A new figure needs a test: the others are counts, hashes and words."""
    checked = {
        "accuracy", "accuracy_interval", "accuracy_interval_runs", "macro_f1", "balanced_accuracy",
        "per_class", "by_run", "calibration_error", "promise", "escapes", "overkill", "review", "novelty",
        "tuned_on", "tuning_frames", "training_frames", "n", "agreement_with_fp32",
    }  # fmt: skip
    about_the_run = {"part", "n_train", "seeds", "split_fingerprint"}
    words = {"training_verdict", "training_verdict_reasons"}
    assert set(found.metrics) == checked | about_the_run | words
