"""PASS and FAIL thresholds for a wanted escape rate and review share, chosen on held-out frames.

The rule is the station's: PASS where the accept classes' summed probability reaches ``accept``, FAIL where a
defect class reaches ``defect``, REVIEW in between. An escape is a defective frame that is a PASS, an overkill
a good one that is a FAIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.network.metadata import Thresholds, WeldClass
from trainer.evaluation.metrics import wilson

MIN_FRAMES_PER_ROLE = 30  # held out, accepted and defective: the usual least for a share
# Below 0.5 another class may be likelier
_CANDIDATES = [*(0.5 + 0.01 * step for step in range(50)), 0.995, 0.999]


@dataclass(frozen=True)
class TradeOff:
    """What a pair of thresholds would have done to the held-out frames; shares from 0 to 1."""

    accept: float
    defect: float
    escape: float  # of the defective frames
    overkill: float  # of the good frames
    review: float  # of all frames


def choose_thresholds(
    probabilities: Tensor, labels: Tensor, classes: Sequence[WeldClass], *, escape: float, review: float
) -> tuple[Thresholds, list[TradeOff]]:
    """Thresholds for the wanted shares, and the curve of what each accept threshold would have done.

    ``accept`` is the lowest threshold whose escapes are within ``escape``: a higher one only sends more
    frames to people. ``defect`` is the highest with which reviews are within ``review``: a lower one only
    scraps more good parts.

    Args:
        probabilities: calibrated, ``[N, C]``, of frames that nothing was trained on.
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
