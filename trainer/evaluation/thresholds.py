"""PASS and FAIL thresholds for a wanted escape rate and review share, chosen on held-out frames.

The rule is the station's: FAIL if a defect class reaches ``defect``, else PASS if the accept classes' summed
probability reaches ``accept``, else REVIEW. An escape is a defective frame with PASS, an overkill is a good
frame with FAIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.network.metadata import Thresholds, WeldClass
from trainer.evaluation.metrics import wilson

MIN_FRAMES_PER_ROLE = 30  # held out, both accepted and defective: the usual minimum for a share
# From 0.5: below it another class may be more likely
_CANDIDATES = [*(0.5 + 0.01 * step for step in range(50)), 0.995, 0.999]


@dataclass(frozen=True)
class TradeOff:
    """The effect of a pair of thresholds on the held-out frames; shares from 0 to 1."""

    accept: float
    defect: float
    escape: float  # of the defective frames
    overkill: float  # of the good frames
    review: float  # of all frames


def choose_thresholds(
    probabilities: Tensor, labels: Tensor, classes: Sequence[WeldClass], *, escape: float, review: float
) -> tuple[Thresholds, list[TradeOff]]:
    """Choose thresholds for the wanted shares, and return them with the trade-off at each PASS threshold.

    ``accept`` is the lowest threshold with at most ``escape`` escapes; a higher one only sends more frames to
    people. ``defect`` is the highest threshold with at most ``review`` reviews; a lower one only scraps more
    good parts.

    Args:
        probabilities: calibrated, ``[N, C]``, of frames that no network was trained on.
        labels: int64[N].
        classes: with their roles.
        escape: wanted share of defective frames that PASS.
        review: wanted share of frames that people look at.
    """
    accepts = torch.tensor([c.role == "accept" for c in classes])
    accepted, defective = probabilities[:, accepts].sum(dim=1), probabilities[:, ~accepts].amax(dim=1)
    good = accepts[labels]
    counts = int(good.sum()), int((~good).sum())
    if min(counts) < MIN_FRAMES_PER_ROLE:
        found = f"{counts[0]} good and {counts[1]} defective held-out frames"
        return Thresholds(chosen=f"default: {found}, {MIN_FRAMES_PER_ROLE} of each are needed"), []

    def trade_off(accept: float, defect: float) -> TradeOff:
        fails = defective >= defect
        passes = (accepted >= accept) & ~fails
        return TradeOff(
            accept,
            defect,
            escape=_share(passes[~good]),
            overkill=_share(fails[good]),
            review=_share(~passes & ~fails),
        )

    safe = [accept for accept in _CANDIDATES if trade_off(accept, 0.5).escape <= escape]
    accept = safe[0] if safe else _CANDIDATES[-1]
    quiet = [defect for defect in _CANDIDATES if trade_off(accept, defect).review <= review]
    best = trade_off(accept, quiet[-1] if quiet else 0.5)
    curve = [trade_off(accept, best.defect) for accept in _CANDIDATES]
    chosen = _describe(best, counts, escape, review)
    return Thresholds(accept=best.accept, defect=best.defect, chosen=chosen), curve


def _describe(best: TradeOff, counts: tuple[int, int], escape: float, review: float) -> str:
    good, bad = counts
    escaped = round(best.escape * bad)
    bound = wilson(escaped, bad)[1]
    return (
        f"wanted: escapes within {escape:.1%}, reviews within {review:.0%}; on the held-out frames: "
        f"{escaped} of {bad} defective frames pass (95% interval up to {bound:.1%}), "
        f"{best.overkill:.1%} of {good} good frames fail, {best.review:.1%} of all are reviewed"
    )


def _share(chosen: Tensor) -> float:
    return chosen.double().mean().item()
