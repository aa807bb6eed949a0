"""PASS and FAIL thresholds for a wanted escape rate and review share, chosen on held-out frames.

The rule is the station's: FAIL if a defect class reaches ``defect``, else PASS if the accept classes' summed
probability reaches ``accept``, else REVIEW. An escape is a defective frame with PASS, an overkill is a good
frame with FAIL.

Escapes are counted for each defect class, because many right frames of one class would hide a class that
always passes. The threshold is chosen by the upper end of the worst class's 95% interval, not by the share on
the frames themselves: a threshold that is chosen and judged on the same frames looks better than it is. The
upper end stays right. It depends on the threshold only by the number of frames that pass, and that number
only falls as the threshold rises, so the lowest threshold within the wish is as safe as one chosen beforehand
(fixed-sequence testing; Angelopoulos et al. 2021, Learn then Test).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.network.metadata import Thresholds, WeldClass
from trainer.evaluation.metrics import independent_groups, wilson

MIN_FRAMES_PER_ROLE = 30  # held out, both accepted and defective: the usual minimum for a share
# From 0.5: below it another class may be more likely
_CANDIDATES = [*(0.5 + 0.01 * step for step in range(50)), 0.995, 0.999]


@dataclass(frozen=True)
class ClassEscapes:
    """Escapes of one defect class on the held-out frames."""

    frames: int
    runs: int  # independent ones; a frame without a run is a run of its own
    passed: int
    at_most: float  # upper end of the share's 95% interval with n = runs; 1 without frames


@dataclass(frozen=True)
class TradeOff:
    """The effect of a pair of thresholds on the held-out frames; shares from 0 to 1."""

    accept: float
    defect: float
    escape: float  # of the defective frames
    overkill: float  # of the good frames
    review: float  # of all frames
    escape_at_most: float  # of the worst defect class that has frames: the upper end of its 95% interval


@dataclass(frozen=True)
class Choice:
    """The chosen thresholds, and the reasons for them."""

    thresholds: Thresholds
    trade: list[TradeOff]  # for each PASS threshold; empty if there were too few frames
    escapes: dict[str, ClassEscapes]  # by defect class, at the chosen thresholds


def choose_thresholds(
    probabilities: Tensor,
    labels: Tensor,
    classes: Sequence[WeldClass],
    runs: Sequence[str | None] = (),
    *,
    escape: float,
    review: float,
) -> Choice:
    """Choose thresholds for the wanted shares.

    ``accept`` is the lowest threshold that shows at most ``escape`` escapes for the worst defect class; a
    higher one only sends more frames to people. If no threshold can show that, because there are too few
    frames or runs, it is the lowest of those that show most. ``defect`` is the highest threshold with at most
    ``review`` reviews; a lower one only scraps more good parts.
    The function is long by its description of the arguments; its code fits a screen.

    Args:
        probabilities: calibrated, ``[N, C]``, of frames that no network was trained on.
        labels: int64[N].
        classes: with their roles.
        runs: the run of each frame.
        escape: wanted share of defective frames that PASS, in each defect class.
        review: wanted share of frames that people look at.
    """
    accepts = torch.tensor([c.role == "accept" for c in classes])
    accepted, defective = probabilities[:, accepts].sum(dim=1), probabilities[:, ~accepts].amax(dim=1)
    good = accepts[labels]
    groups = torch.tensor(independent_groups(len(labels), runs))
    rows = {c.name: (labels == i).nonzero()[:, 0] for i, c in enumerate(classes) if c.role == "defect"}
    runs_of = {name: len(set(groups[own].tolist())) for name, own in rows.items()}

    def passes(accept: float, defect: float) -> Tensor:
        return (accepted >= accept) & ~(defective >= defect)

    def escapes(accept: float, defect: float) -> dict[str, ClassEscapes]:
        passed = passes(accept, defect)
        return {name: _count(passed[own], runs_of[name]) for name, own in rows.items()}

    counts = int(good.sum()), int((~good).sum())
    if min(counts) < MIN_FRAMES_PER_ROLE:
        found = f"{counts[0]} good and {counts[1]} defective held-out frames"
        chosen = f"default: {found}, {MIN_FRAMES_PER_ROLE} of each are needed"
        default = Thresholds(chosen=chosen)
        return Choice(default, [], escapes(default.accept, default.defect))

    def reviews(accept: float, defect: float) -> float:
        return _share(~passes(accept, defect) & ~(defective >= defect))

    def trade_off(accept: float, defect: float) -> TradeOff:
        return TradeOff(
            accept,
            defect,
            escape=_share(passes(accept, defect)[~good]),
            overkill=_share(defective[good] >= defect),
            review=reviews(accept, defect),
            escape_at_most=worst(escapes(accept, defect))[1].at_most,
        )

    no_fail = 2.0  # no probability reaches it: ``defect`` is chosen later, and may be high
    shown = [worst(escapes(accept, no_fail))[1].at_most for accept in _CANDIDATES]
    wanted = max(escape, min(shown))
    accept = next(a for a, at_most in zip(_CANDIDATES, shown, strict=True) if at_most <= wanted)
    quiet = [defect for defect in _CANDIDATES if reviews(accept, defect) <= review]
    best = trade_off(accept, quiet[-1] if quiet else 0.5)
    by_class = escapes(best.accept, best.defect)
    return Choice(
        Thresholds(
            accept=best.accept,
            defect=best.defect,
            chosen=_describe(best, counts[0], by_class, escape=escape, review=review),
        ),
        [trade_off(accept, best.defect) for accept in _CANDIDATES],
        by_class,
    )


def worst(escapes: dict[str, ClassEscapes]) -> tuple[str, ClassEscapes]:
    """The defect class of which the least is known to be caught, of those with frames, and its escapes."""
    known = {name: each for name, each in escapes.items() if each.frames}
    return max(known.items(), key=lambda item: item[1].at_most)


def _count(passed: Tensor, runs: int) -> ClassEscapes:
    frames, escaped = len(passed), int(passed.sum())
    at_most = wilson(escaped / frames * runs, runs)[1] if frames else 1.0
    return ClassEscapes(frames, runs, escaped, at_most)


def _describe(
    best: TradeOff, good: int, escapes: dict[str, ClassEscapes], *, escape: float, review: float
) -> str:
    name, least = worst(escapes)
    of_runs = f" of {least.runs} runs" if least.runs < least.frames else ""
    unknown = [name for name, each in escapes.items() if not each.frames]
    shown = ")" if least.at_most <= escape else ": more frames or runs are needed to show less)"
    return (
        f"wanted: escapes within {escape:.1%} of each defect class, reviews within {review:.0%}; on the "
        f"held-out frames that chose them: {least.passed} of {least.frames} frames{of_runs} of the worst "
        f"class, {name}, pass (95% interval up to {least.at_most:.1%}{shown}, {best.overkill:.1%} of {good} "
        f"good frames fail, {best.review:.1%} of all are reviewed"
        + (f"; no held-out frame shows {', '.join(unknown)}" if unknown else "")
    )


def _share(chosen: Tensor) -> float:
    return chosen.double().mean().item()
