"""Turns prepared frames into verdicts: the network's answers, judged by the thresholds in force."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.errors import SettingsError
from inspector.records import Judgement, Verdict

if TYPE_CHECKING:
    from inspector.network.artifact import Artifact
    from inspector.network.metadata import Metadata

UNKNOWN_LABEL = "unknown"  # the label if the network's answer is not a number


class Classifier:
    """An opened artifact with the thresholds in force; safe for several threads.

    Args:
        artifact: the opened network.
        overrides: thresholds of the settings, which replace the artifact's: ``accept`` (for the accept
            classes' sum), ``defect`` (for every defect class), or one defect class by its name, which wins
            over ``defect``.

    Raises:
        SettingsError: an override names no threshold of this artifact.
    """

    def __init__(self, artifact: Artifact, overrides: Mapping[str, float] | None = None) -> None:
        self._artifact = artifact
        self._names = artifact.metadata.class_names
        self._accepts = [c.role == "accept" for c in artifact.metadata.classes]
        self._accept, self._defects = _merge_thresholds(artifact.metadata, overrides or {})
        self._novelty = artifact.metadata.thresholds.novelty

    @property
    def thresholds(self) -> dict[str, Any]:
        """The thresholds in force, for the ledger: ``accept``, ``defects`` by class name, and ``novelty``."""
        return {"accept": self._accept, "defects": dict(self._defects), "novelty": self._novelty}

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Resize a decoded frame, ``uint8[h, w]`` of any size → ``uint8[1, H, W]``, for :meth:`judge`."""
        return self._artifact.prepare(pixels)

    def judge(self, prepared: Sequence[Tensor], flaws: Sequence[str | None]) -> list[Judgement]:
        """Judge frames; return one judgement for each frame, in order.

        Args:
            prepared: frames ``uint8[1, H, W]``, at least one.
            flaws: for each frame, why it shows no weld (``blank``, …), or None.
        """
        answers = self._artifact.forward(torch.stack(list(prepared)))
        rows = zip(*(answer.numpy() for answer in answers), flaws, strict=True)
        return [self._judgement(*row) for row in rows]

    def _judgement(
        self, probabilities: NDArray[np.float32], heat: NDArray[np.float32], novelty: float, flaw: str | None
    ) -> Judgement:
        if not (np.isfinite(probabilities).all() and math.isfinite(novelty)):
            nothing = dict.fromkeys(self._names, 0.0)
            return Judgement(Verdict.REVIEW, UNKNOWN_LABEL, 0.0, nothing, 0.0, None, "not_finite")
        shares = dict(zip(self._names, map(float, probabilities), strict=True))
        verdict, reason, deciding = self._verdict(shares, novelty, flaw)
        label = max(deciding, key=shares.__getitem__)
        return Judgement(
            verdict=verdict,
            label=label,
            confidence=shares[label],
            probabilities=shares,
            novelty=float(novelty),
            heat=np.round(np.nan_to_num(heat) * 255).astype(np.uint8),
            reason=reason,
        )

    def _verdict(
        self, shares: Mapping[str, float], novelty: float, flaw: str | None
    ) -> tuple[Verdict, str | None, list[str]]:
        """Apply the thresholds: a defect above its own fails even if the accept classes are above theirs.

        Returns:
            The verdict, the reason of a REVIEW, and the classes that decided, of which the likeliest one is
            recorded: for FAIL the defects above their thresholds, for PASS the accept classes, else all.
        """
        if flaw is not None:
            return Verdict.REVIEW, flaw, self._names
        if self._novelty is not None and novelty > self._novelty:
            return Verdict.REVIEW, "novel", self._names
        if failing := [name for name, threshold in self._defects.items() if shares[name] >= threshold]:
            return Verdict.FAIL, None, failing
        accepted = [name for name, accepts in zip(self._names, self._accepts, strict=True) if accepts]
        if accepted and sum(shares[name] for name in accepted) >= self._accept:
            return Verdict.PASS, None, accepted
        return Verdict.REVIEW, "uncertain", self._names


def _merge_thresholds(about: Metadata, overrides: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """Return the accept threshold and the threshold of each defect class."""
    defects = [c.name for c in about.classes if c.role == "defect"]
    for key in overrides:
        if key not in ("accept", "defect", *defects):
            raise SettingsError(
                f"thresholds: '{key}' is neither 'accept' nor 'defect' nor a defect class of {about.name} "
                f"({', '.join(defects)})"
            )
    chosen = about.thresholds
    default = {name: chosen.per_class.get(name, chosen.defect) for name in defects}
    if "defect" in overrides:
        default = dict.fromkeys(defects, overrides["defect"])
    return overrides.get("accept", chosen.accept), {n: overrides.get(n, default[n]) for n in defects}
