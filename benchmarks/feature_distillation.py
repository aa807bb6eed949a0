"""Weights to start from: WeldNet learns the features of EfficientNet-Lite0 (*feature distillation*).

    python benchmarks/feature_distillation.py PICTURES --start weldpool.pt --out start.pt

Lite0 has learnt a million photographs, and its features tell many surfaces apart. WeldNet learns to predict
them on views that need no label: crops of pictures (Asano and Saeed 2023: one is nearly enough), of synthetic
textures and of synthetic weld pools. It begins with a student that has learnt synthetic frames.
``trainer/network/weights/README.md`` names the pictures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, cast

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from pictures import LEAST_SIDE, Pixels
from pictures import read as read_pictures
from PIL import Image
from rich.progress import track
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.artifact.student import Student
from trainer.network import lite0
from trainer.network.weldnet import WeldNet
from trainer.synthetic import frames as weld_pools
from trainer.synthetic import textures

Grey = NDArray[np.float32]  # [h, w], from 0 to 1

SIDE: Final = 128  # pixels of a view: WeldNet's last map then has 2×2 cells
LITE0_SIDE: Final = 192  # pixels at which Lite0 sees it
SHARES: Final = (0.65, 0.25, 0.10)  # of views from pictures, textures and weld pools
TEXTURES, WELD_POOLS = 4_000, 200  # frames to cut views from
LEAST_AREA: Final = 0.02  # of a picture that a view shows
LEAST_CONTRAST: Final = 0.01  # standard deviation of grey, from 0 to 1; less is an empty sky
CELLS: Final = 2  # per side of the maps that the last block learns
MAP_NUMBERS: Final = lite0.POOLED[1:]  # 112 and 1,280 channels
FINE_CELLS: Final = 4  # per side of the maps that the block before learns: a small defect is in one of them
FINE_NUMBERS: Final = lite0.POOLED[:2]  # 40 and 112 channels
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 2e-3, 0.02  # of AdamW, one cycle
LARGEST: Final = 5.0  # standard deviations of a feature; a rare peak must not decide a step
HELD_OUT: Final = 1_000  # views that show how much has been learnt


class Views:
    """Endless views ``uint8[SIDE, SIDE]``: crops that are turned, blended, pasted over, and lit."""

    def __init__(self, pictures: list[Pixels], seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._sources = (
            pictures,
            [frame.pixels for frame in textures.frames(TEXTURES, seed=101)],
            [frame.pixels for frame in weld_pools.frames(WELD_POOLS, seed=202)],
        )
        sizes = np.sqrt([picture.size for picture in pictures])
        self._weights = sizes / sizes.sum()  # larger pictures have more to show

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield one view after the other."""
        while True:
            yield (np.clip(self._lit(self._mixed()), 0, 1) * 255).astype(np.uint8)

    def _mixed(self) -> Grey:
        rng, view, chance = self._rng, self._crop(), self._rng.random()
        if chance < 0.15:
            share = np.float32(rng.uniform(0.5, 0.9))
            view = share * view + (1 - share) * self._crop()
        elif chance < 0.3:
            height, width = rng.integers(8, 90, 2)
            top, left = rng.integers(SIDE - height), rng.integers(SIDE - width)
            box = (slice(top, top + height), slice(left, left + width))
            view[box] = self._crop()[box]
        return view

    def _crop(self) -> Grey:
        rng = self._rng
        number = int(rng.choice(len(self._sources), p=SHARES))
        source = self._sources[number]
        picture = source[rng.choice(len(source), p=self._weights if number == 0 else None)]
        area = picture.size * np.exp(rng.uniform(np.log(LEAST_AREA), 0))
        ratio = np.exp(rng.uniform(-0.4, 0.4))
        height, width = (
            int(np.clip(np.sqrt(side), 24, limit))
            for side, limit in zip((area * ratio, area / ratio), picture.shape, strict=True)
        )
        top = rng.integers(picture.shape[0] - height + 1)
        left = rng.integers(picture.shape[1] - width + 1)
        box = (left, top, left + width, top + height)
        cut = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box)
        view: Grey = np.asarray(cut, dtype=np.float32) / 255
        if view.std() < LEAST_CONTRAST:
            return self._crop()
        for flip in (lambda v: v[:, ::-1], lambda v: v[::-1], lambda v: v.T):
            view = flip(view) if rng.random() < 0.5 else view
        return view.copy()

    def _lit(self, view: Grey) -> Grey:
        rng = self._rng
        if rng.random() < 0.15:
            view = 1 - view
        if rng.random() < 0.3:
            view = np.clip(view, 0, 1) ** np.exp(rng.normal(0, 0.4))
        view = (view - view.mean()) * np.exp(rng.normal(0, 0.3)) + view.mean() + rng.normal(0, 0.12)
        if rng.random() < 0.05:
            view = (view > np.median(view)).astype(np.float32)  # as drawings and some cameras are
        if rng.random() < 0.3:
            view = view + rng.normal(0, rng.uniform(0, 0.06), view.shape)
        return view.astype(np.float32)


@dataclass
class Lessons:
    """Views, and what Lite0 sees in them."""

    views: Tensor  # uint8[N, SIDE, SIDE]
    pooled: Tensor  # float16[N, FEATURES], means and maxima of maps
    maps: Tensor  # float16[N, D, CELLS, CELLS], means of parts of the maps
    fine: Tensor  # float16[N, E, FINE_CELLS, FINE_CELLS], the same of maps with more detail

    @classmethod
    @torch.inference_mode()
    def draw(cls, views: Iterator[NDArray[np.uint8]], count: int) -> Lessons:
        """Draw ``count`` views and look at each."""
        network = lite0.pretrained().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        seen: list[tuple[Tensor, ...]] = []
        for _ in track(range(0, count, 32), "Lite0 looks at the views"):
            batch = torch.from_numpy(np.stack([next(views) for _ in range(32)]))
            with torch.autocast("cpu", torch.bfloat16):
                every = network.maps(_resize(_as_input(batch), LITE0_SIDE))
            chosen = [every[number].float() for number in lite0.POOLED]
            pooled = [m.mean(dim=(2, 3)) for m in chosen] + [m.amax(dim=(2, 3)) for m in chosen]
            seen.append(
                (
                    batch,
                    torch.cat(pooled, 1).half(),
                    _cells([every[number] for number in MAP_NUMBERS], CELLS),
                    _cells([every[number] for number in FINE_NUMBERS], FINE_CELLS),
                )
            )
        return cls(*(torch.cat(part) for part in zip(*seen, strict=True)))


class Regression(nn.Module):
    """WeldNet, and linear layers from its last two maps to Lite0's features, each of unit variance."""

    def __init__(self, network: WeldNet, lessons: Lessons) -> None:
        super().__init__()
        self.network, channels = network, network.head.in_features
        self.to_pooled = nn.Linear(channels, lessons.pooled.shape[1])
        self.to_maps = nn.Conv2d(channels, lessons.maps.shape[1], 1)
        self.to_fine = nn.Conv2d(channels // 2, lessons.fine.shape[1], 1)
        self._moments = [_moments(lessons.pooled), _moments(lessons.maps), _moments(lessons.fine)]

    def loss(self, views: Tensor, *wanted: Tensor) -> Tensor:
        """Mean squared error of the three kinds of features, each in its own variance."""
        with torch.autocast("cpu", torch.bfloat16):
            fine = self.network.blocks[:-1](self.network.stem(_as_input(views)))
            last = self.network.blocks[-1](fine)
            said = self.to_pooled(last.mean(dim=(2, 3))), self.to_maps(last), self.to_fine(fine)
        standard = [_standard(each, *moments) for each, moments in zip(wanted, self._moments, strict=True)]
        return torch.stack([F.mse_loss(a.float(), b) for a, b in zip(said, standard, strict=True)]).sum()


def main(
    pictures: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="a folder of pictures")],
    start: Annotated[Path, typer.Option(exists=True, help="student file whose network goes on learning")],
    out: Annotated[Path, typer.Option(help="student file to write")],
    views: Annotated[int, typer.Option(help="views to draw, a multiple of 32")] = 64_000,
    epochs: Annotated[int, typer.Option(min=1)] = 6,
    seed: Annotated[int, typer.Option()] = 1,
) -> None:
    """Draw views, let Lite0 look at them, and let WeldNet learn its features."""
    torch.manual_seed(seed)
    found = read_pictures(pictures)
    if not found:
        raise SystemExit(f"{pictures}: holds no picture of {LEAST_SIDE} pixels or more")
    lessons = Lessons.draw(iter(Views(found, seed)), views)
    student = Student.load(start)
    network = student.network.float()
    norms = [convolution.weight.norm().item() for convolution, _ in _normalized(network)]
    _learn(Regression(network, lessons), lessons, epochs)
    _set_norms(network, norms)
    replace(student, network=network.half(), golden=[], ranges=None, metrics={}).save(out)


def _learn(model: Regression, lessons: Lessons, epochs: int) -> None:
    held_out, rows = torch.arange(HELD_OUT), torch.arange(HELD_OUT, len(lessons.views))
    steps = epochs * (len(rows) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)

    def look(batch: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return lessons.views[batch], lessons.pooled[batch], lessons.maps[batch], lessons.fine[batch]

    for epoch in range(epochs):
        model.train()
        order = rows[torch.randperm(len(rows))][: steps // epochs * BATCH]
        for batch in track(order.split(BATCH), f"epoch {epoch + 1} of {epochs}"):
            views, pooled, maps, fine = look(batch)
            for side in (1, 2):  # Lite0's means and maxima hardly change in a mirror; its maps change sides
                if torch.rand(()) < 0.5:
                    views, maps, fine = views.flip(side), maps.flip(side + 1), fine.flip(side + 1)
            optimizer.zero_grad()
            model.loss(views, pooled, maps, fine).backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.inference_mode():
            losses = [model.loss(*look(batch)).item() for batch in held_out.split(50)]
        typer.echo(
            f"epoch {epoch + 1}: {np.mean(losses):.3f} on {HELD_OUT} other views; 3 is knowing nothing"
        )


def _normalized(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return the convolutions that a batch norm follows, with it."""
    rows = [list(module) for module in network.modules() if isinstance(module, nn.Sequential)]
    return [
        (first, second)
        for row in rows
        for first, second in pairwise(row)
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d)
    ]


@torch.no_grad()
def _set_norms(network: nn.Module, norms: list[float]) -> None:
    """Give convolutions these norms; batch norm's statistics follow, so that the outputs stay.

    A step of SGD turns the weights before a batch norm by an angle that falls with their squared norm (van
    Laarhoven 2017). AdamW has made them up to nine times as large, and the recipes' learning rates would
    hardly move them.
    """
    for (convolution, batch_norm), norm in zip(_normalized(network), norms, strict=True):
        factor = norm / convolution.weight.norm().item()
        convolution.weight.mul_(factor)
        cast(Tensor, batch_norm.running_mean).mul_(factor)
        cast(Tensor, batch_norm.running_var).mul_(factor**2)


def _as_input(views: Tensor) -> Tensor:
    return views.float().div(255).unsqueeze(1).contiguous(memory_format=torch.channels_last)


def _resize(frames: Tensor, side: int) -> Tensor:
    return F.interpolate(frames, size=[side, side], mode="bilinear", antialias=True, align_corners=False)


def _cells(maps: list[Tensor], side: int) -> Tensor:
    return torch.cat([F.adaptive_avg_pool2d(each.float(), side) for each in maps], 1).half()


def _moments(values: Tensor) -> tuple[Tensor, Tensor]:
    some = values[:8_000].float()  # enough for means and deviations
    dims = [0, *range(2, values.ndim)]  # all but the channels
    return some.mean(dims, keepdim=True), some.std(dims, keepdim=True).clamp_min(1e-3)


def _standard(values: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    return ((values.float() - mean) / deviation).clamp(-LARGEST, LARGEST)


if __name__ == "__main__":
    typer.run(main)
