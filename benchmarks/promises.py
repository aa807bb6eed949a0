"""How often promises about escapes are broken, in made-up worlds with independent and with correlated frames.

python benchmarks/promises.py            the promise as it is made
python benchmarks/promises.py --bounds   other bounds that would keep it, for runs of one length
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from scipy.stats import binom

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))
from promise_worlds import THRESHOLDS, scores_of, simulate

WORLDS = 4000  # so that a broken share of 5% is known to 0.7 points
RISK = 0.05
HEAD = (
    "frames", "runs of", "wish", "kept", "promised, mean", "broken", "good frames in REVIEW",
    "broken if each frame counted",
)  # fmt: skip

Floats = NDArray[np.float64]


def main(bounds: Annotated[bool, typer.Option()] = False) -> None:
    """Print a row for each number of defective frames, length of runs and wish."""
    if bounds:
        show_bounds()
        return
    typer.echo(f"| {' | '.join(HEAD)} |\n{'|---' * len(HEAD)}|")
    for escape in (0.01, 0.1):
        for length in (1, 5, 50):
            for frames in (30, 100, 1000):
                found = simulate(frames, length, escape=escape, worlds=WORLDS)
                row = [
                    f"{frames:,}",
                    length,
                    f"{escape:.0%}",
                    f"{found.kept:.0%}",
                    f"{found.at_most:.1%}",
                    f"{found.broken / WORLDS:.1%}",
                    f"{found.review:.0%}",
                    f"{found.broken_by_frames / WORLDS:.1%}",
                ]
                typer.echo(f"| {' | '.join(map(str, row))} |")


def show_bounds() -> None:
    """Print the mean true share of escapes that each bound allows, and how often it is broken."""
    typer.echo(f"| wish | runs | {' | '.join(P_VALUES)} |\n|---|---{'|---' * len(P_VALUES)}|")
    for escape, runs, length in ((0.14, 20, 50), (0.05, 100, 5), (0.1, 100, 5), (0.05, 200, 5)):
        rng = np.random.default_rng([runs, length])
        scores = scores_of(rng, WORLDS // 2, runs, length)
        row = []
        for p_value in P_VALUES.values():
            p = np.stack([p_value(scores >= each, escape) for each in THRESHOLDS], axis=1)
            kept = np.cumprod(p[:, ::-1] <= RISK, axis=1).sum(axis=1)  # from strict to lax
            true = np.append(1 - THRESHOLDS, 0)[len(THRESHOLDS) - kept]
            row.append(f"{true.mean():.1%} ({(true > escape + 1e-9).mean():.1%})")
        typer.echo(f"| {escape:.0%} | {runs} of {length} | {' | '.join(row)} |")


def drawn(passed: NDArray[np.bool_], share: float) -> Floats:
    """One frame of each run, exact; arguments bool[worlds, runs, length] and the tested share."""
    return np.asarray(binom.cdf(passed[:, :, 0].sum(axis=1), passed.shape[1], share))


def any_frame(passed: NDArray[np.bool_], share: float) -> Floats:
    """Runs of which any frame passes, exact."""
    return np.asarray(binom.cdf(passed.any(axis=2).sum(axis=1), passed.shape[1], share))


def hoeffding_bentkus(passed: NDArray[np.bool_], share: float) -> Floats:
    """Means of runs (Bates et al. 2021, section 3.1)."""
    runs = passed.shape[1]
    mean = np.clip(passed.mean(axis=(1, 2)), 1e-300, share)
    divergence = mean * np.log(mean / share) + (1 - mean) * np.log((1 - mean) / (1 - share))
    total = np.ceil(passed.mean(axis=2).sum(axis=1).round(9))
    return np.minimum(np.exp(-runs * divergence), np.e * binom.cdf(total, runs, share))


def betting(passed: NDArray[np.bool_], share: float) -> Floats:
    """Means of runs, one after the other (Waudby-Smith and Ramdas 2024, theorem 3)."""
    means, runs = passed.mean(axis=2), passed.shape[1]
    number = np.arange(1, runs + 1)
    guess = (0.5 + means.cumsum(axis=1)) / (number + 1)
    variance = (0.25 + ((means - guess) ** 2).cumsum(axis=1)) / (number + 1)
    before = np.concatenate([np.full((len(means), 1), 0.25), variance[:, :-1]], axis=1)
    stake = np.minimum(np.sqrt(2 * np.log(1 / RISK) / (runs * before)), 0.9 / (1 - share))
    return np.exp(-np.log1p(stake * (share - means)).cumsum(axis=1).max(axis=1).clip(0))


P_VALUES: Mapping[str, Callable[[NDArray[np.bool_], float], Floats]] = {
    "one frame of each run": drawn,
    "any frame of a run": any_frame,
    "means of runs, Hoeffding and Bentkus": hoeffding_bentkus,
    "means of runs, betting": betting,
}

if __name__ == "__main__":
    typer.run(main)
