"""PASS and FAIL thresholds for a wanted escape rate and review share, chosen on held-out frames.

The rule is the station's: FAIL if a defect class reaches ``defect``, else PASS if the accept classes' summed
probability reaches ``accept``, else REVIEW. An escape is a defective frame with PASS, an overkill is a good
frame with FAIL.

Escapes are counted for each defect class, because many right frames of one class would hide a class that
always passes. ``accept`` is chosen on the defective frames that tuned nothing, and comes with a promise
(:mod:`trainer.evaluation.promises`). ``defect`` is chosen on the tuning frames. So the good frames that tuned
nothing have fitted no threshold: overkill and reviews are theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.network.metadata import Thresholds, WeldClass
from trainer.evaluation.bounds import cases_needed, exact_upper
from trainer.evaluation.promises import ClassEscapes, Promise, drawn_frames, lowest_threshold

MIN_FRAMES_PER_ROLE = 30  # held out, both accepted and defective: the usual minimum for a share
# From 0.5: below it another class may be more likely
CANDIDATES = [*(0.5 + 0.01 * step for step in range(50)), 0.995, 0.999]


@dataclass(frozen=True)
class TradeOff:
    """The effect of a pair of thresholds on the frames that tuned nothing; shares from 0 to 1."""

    accept: float
    defect: float
    escape: float  # of the defective frames
    overkill: float  # of the good frames
    review: float  # of all frames
    escape_at_most: float  # of the worst defect class: the exact bound at this threshold, if it were given


@dataclass(frozen=True)
class Choice:
    """The chosen thresholds, their promise, and the reasons for them."""

    thresholds: Thresholds
    trade: list[TradeOff]  # for each PASS threshold; empty if there were too few frames
    promise: Promise

    @property
    def escapes(self) -> dict[str, ClassEscapes]:
        """Escapes by defect class, at the chosen thresholds."""
        return self.promise.classes


def choose_thresholds(
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[WeldClass],
    runs: Sequence[str | None] = (),
    tuning: Tensor | None = None,
    *,
    escape: float,
    review: float,
    confidence: float = 0.95,
) -> Choice:
    """Choose thresholds for the wanted shares.

    ``accept`` is the lowest threshold that promises at most ``escape`` escapes of each defect class, or the
    smallest share that so few runs can promise; a higher one only sends more frames to people. ``defect`` is
    the highest threshold with at most ``review`` reviews; a lower one only scraps more good parts.

    Args:
        probabilities: calibrated, ``[N, C]``, of frames that no network was trained on.
        labels: int64[N].
        classes: with their roles.
        runs: the run of each frame.
        tuning: the frames that fitted the temperature, bool[N]; none by default.
        escape: wanted share of defective frames that PASS, in each defect class.
        review: wanted share of frames that people look at.
        confidence: of the promise.
    """
    answers = _Answers.of(probabilities, labels, classes, runs, tuning)
    good = answers.good
    counts = int(good.sum()), int((~good).sum())
    if min(counts) < MIN_FRAMES_PER_ROLE:
        found = f"{counts[0]} good and {counts[1]} defective held-out frames"
        default = Thresholds()
        bounds = answers.bounds([default.accept], confidence)[0]
        if all(c.role == "defect" for c in classes):
            bounds = [0.0 for _ in bounds]  # nothing can pass
        promise = answers.promise(default.accept, bounds, escape=escape, confidence=confidence)
        chosen = f"default: {found}, {MIN_FRAMES_PER_ROLE} of each are needed"
        return Choice(default.model_copy(update={"chosen": chosen}), [], promise)

    passed = answers.drawn_passes(CANDIDATES).numpy()
    place, shares = lowest_threshold(passed, answers.drawn_runs, escape=escape, confidence=confidence)
    accept = CANDIDATES[place]
    promise = answers.promise(accept, shares, escape=escape, confidence=confidence)
    tuned = bool(answers.tuning.any())
    quiet = [each for each in CANDIDATES if tuned and answers.reviews(accept, each, answers.tuning) <= review]
    defect = quiet[-1] if quiet else Thresholds().defect
    trade = [
        answers.trade_off(each, defect, max(bounds))
        for each, bounds in zip(CANDIDATES, answers.bounds(CANDIDATES, confidence), strict=True)
    ]
    chosen = (
        f"wanted: escapes within {escape:.1%} of each defect class with {confidence:.0%} confidence, reviews "
        f"within {review:.0%}; PASS chosen on the defects among {int((~answers.tuning).sum())} held-out "
        f"frames, FAIL {f'on {int(answers.tuning.sum())} others' if tuned else 'kept'}"
    )
    return Choice(Thresholds(accept=accept, defect=defect, chosen=chosen), trade, promise)


@dataclass(frozen=True)
class _Answers:
    """What thresholds see of the held-out frames; bool and float [N] each."""

    accepted: Tensor  # summed probability of the accept classes
    defective: Tensor  # highest probability of a defect class
    good: Tensor
    tuning: Tensor
    classes: dict[str, Tensor]  # the frames of each defect class that tuned nothing
    drawn: Tensor  # one frame of each class and run
    by_run: bool

    @classmethod
    def of(
        cls,
        probabilities: Tensor,
        labels: Tensor,
        classes: Sequence[WeldClass],
        runs: Sequence[str | None],
        tuning: Tensor | None,
    ) -> _Answers:
        tuned = torch.zeros(len(labels), dtype=torch.bool) if tuning is None else tuning
        accepts = torch.tensor([c.role == "accept" for c in classes])
        return cls(
            probabilities[:, accepts].sum(dim=1),
            probabilities[:, ~accepts].amax(dim=1),
            accepts[labels],
            tuned,
            {c.name: (labels == i) & ~tuned for i, c in enumerate(classes) if c.role == "defect"},
            drawn_frames(labels, runs),
            any(run is not None for run in runs),
        )

    @property
    def drawn_runs(self) -> list[int]:
        """The runs of each defect class."""
        return [int((own & self.drawn).sum()) for own in self.classes.values()]

    def drawn_passes(self, accept: Sequence[float]) -> Tensor:
        """The drawn frames that PASS at each threshold, int64[defect classes, thresholds].

        A frame that FAILs as well counts, too, so that the FAIL threshold can be chosen later.
        """
        passes = self.accepted[:, None] >= torch.tensor(accept, dtype=self.accepted.dtype)
        return torch.stack([(passes & (own & self.drawn)[:, None]).sum(0) for own in self.classes.values()])

    def bounds(self, accept: Sequence[float], confidence: float) -> list[list[float]]:
        """The exact bound of each defect class's escapes at each threshold, as if it were given."""
        columns = self.drawn_passes(accept).T.tolist()
        runs = self.drawn_runs
        return [[exact_upper(k, n, confidence) for k, n in zip(each, runs, strict=True)] for each in columns]

    def promise(
        self, accept: float, at_most: Sequence[float], *, escape: float, confidence: float
    ) -> Promise:
        passes = self.accepted >= accept
        found: dict[str, ClassEscapes] = {}
        for (name, own), share in zip(self.classes.items(), at_most, strict=True):
            runs, escaped = int((own & self.drawn).sum()), int((own & self.drawn & passes).sum())
            kept = share <= escape
            more = 0 if kept else cases_needed(escape, confidence, escaped) - runs
            found[name] = ClassEscapes(int(own.sum()), int((own & passes).sum()), runs, escaped, share, more)
        return Promise(escape, confidence, found, self.by_run)

    def passes(self, accept: float, defect: float) -> Tensor:
        return (self.accepted >= accept) & ~(self.defective >= defect)

    def reviews(self, accept: float, defect: float, of: Tensor) -> float:
        reviewed = ~self.passes(accept, defect) & ~(self.defective >= defect)
        return _share(reviewed[of])

    def trade_off(self, accept: float, defect: float, at_most: float) -> TradeOff:
        passes, reporting = self.passes(accept, defect), ~self.tuning
        return TradeOff(
            accept,
            defect,
            escape=_share(passes[reporting & ~self.good]),
            overkill=_share((self.defective >= defect)[reporting & self.good]),
            review=self.reviews(accept, defect, reporting),
            escape_at_most=at_most,
        )


def _share(chosen: Tensor) -> float:
    return chosen.double().mean().item()
