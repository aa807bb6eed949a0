"""Synthetic textures with marks, in any number of classes, for a network to learn before any weld.

A class is a program drawn at random: a ground, marks on it (scratches, pits, patches, rings), and light.
Frames of a class share only the program. So a network has to learn grain, direction, outline and place to
distinguish classes. No texture imitates real frames. Networks can learn useful features from such programs:
this is known for fractals (Kataoka et al. 2020) and for noise (Baradad et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainer.synthetic.drawing import Field, bell, blur, length, over, ramp
from trainer.synthetic.frames import SyntheticFrame

FRAMES_PER_CLASS = 50  # many classes of few frames: a network learns from the number of programs
_FRAMES_PER_RUN = 10  # a fifth of a class: a split by run holds out at least that
WIDTH, HEIGHT = 100, 120  # pixels: 12,000, as 'best' gives to sixty training frames
_GRID_SIDE = 128  # pixels of a periodic field: a power of two, larger than a frame
_MIN_WAVELENGTH, _MAX_WAVELENGTH = 3.0, 40.0  # pixels
_FEW_MARKS = 4  # fewer marks than this are large and have a place; more are small and anywhere

_ROW_FREQUENCY = np.fft.fftfreq(_GRID_SIDE).astype(np.float32)[:, None]
_COLUMN_FREQUENCY = np.fft.rfftfreq(_GRID_SIDE).astype(np.float32)
_ROWS = (np.arange(HEIGHT, dtype=np.float32) - HEIGHT / 2)[:, None]
_COLUMNS = np.arange(WIDTH, dtype=np.float32) - WIDTH / 2


def class_names(count: int) -> list[str]:
    """The names of the classes of ``count`` frames."""
    return [f"texture_{number:04d}" for number in range(max(2, count // FRAMES_PER_CLASS))]


def frames(count: int, seed: int) -> Iterator[SyntheticFrame]:
    """Yield ``count`` frames, class by class; the same arguments give the same frames.

    A run is ten frames that a split keeps together. They are no more alike than other frames of their class.
    """
    names = class_names(count)
    for label, name in enumerate(names):
        texture = _Texture(np.random.default_rng([seed, label]))
        for index in range(count // len(names) + (label < count % len(names))):
            pixels = texture.frame(np.random.default_rng([seed, label, index]))
            run = f"{name}_{index // _FRAMES_PER_RUN}"
            yield SyntheticFrame(pixels, label, run, index % _FRAMES_PER_RUN, f"{name}_{index:04d}.png")


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw log-uniformly: equal factors are equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


class _Grain:
    """Filtered noise, bent by a curve: clouds, brushed metal, ridges, contours, patches, terraces."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.curve = str(rng.choice(["bent", "ridges", "ridges", "contours", "patches", "terraces"]))
        self.one_band = rng.random() < 0.5
        self.falloff = rng.uniform(0.3, 2.6)  # exponent by which the amplitude falls with the frequency
        self.wavelength = _between(rng, _MIN_WAVELENGTH, _MAX_WAVELENGTH)  # pixels
        self.stretch = _between(rng, 1, 8) if rng.random() < 0.6 else 1.0
        self.angle = rng.uniform(0, np.pi / 2)  # radians; flips in training give the other half
        self.steps = rng.uniform(1, 5)  # contours or terraces per standard deviation, about
        self.skew = rng.uniform(-1, 1)

    def field(self, rng: np.random.Generator) -> Field:
        """Draw a sample, float32[HEIGHT, WIDTH], of about zero mean and unit variance."""
        zoom, angle = np.exp(rng.uniform(-0.22, 0.22)), self.angle + rng.normal(0, 0.08)
        cosine, sine = float(np.cos(angle)), float(np.sin(angle))
        along = (_COLUMN_FREQUENCY * cosine + _ROW_FREQUENCY * sine) * self.stretch
        across = _ROW_FREQUENCY * cosine - _COLUMN_FREQUENCY * sine
        frequency = length(along, across) * np.float32(zoom) + 1e-4
        if self.one_band:
            amplitude = bell(np.log2(frequency * self.wavelength), 0.7)
        else:
            amplitude = frequency ** np.float32(-self.falloff) * (frequency > 1.5 / _GRID_SIDE)
        white = rng.standard_normal((_GRID_SIDE, _GRID_SIDE // 2 + 1, 2), dtype=np.float32).view(
            np.complex64
        )[..., 0]
        noise: Field = np.fft.irfft2(white * amplitude, s=(_GRID_SIDE, _GRID_SIDE)).astype(np.float32)
        return self._bent(noise[:HEIGHT, :WIDTH] / (noise.std() + 1e-6), rng)

    def _bent(self, noise: Field, rng: np.random.Generator) -> Field:
        """Apply the curve to noise of unit variance."""
        if self.curve == "ridges":
            return 1.2 - 1.5 * np.abs(noise)
        if self.curve == "contours":
            return 1.3 * np.sin(noise * self.steps + rng.uniform(0, 2 * np.pi))
        if self.curve == "patches":
            return np.tanh((noise - self.skew) * 6)
        if self.curve == "terraces":
            return np.floor(noise * self.steps * 0.7) / (self.steps * 0.5)
        return noise + 0.35 * self.skew * np.square(noise)


class _Marks:
    """Shapes with the same outline, size and inner grain."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.count = _between(rng, 1, 14)
        few = self.count < _FEW_MARKS
        self.size = _between(rng, 10, 42) if few else _between(rng, 3, 11)  # pixels: mean radius
        self.aspect = _between(rng, 1, 7) if rng.random() < 0.6 else _between(rng, 1, 1.6)
        self.turned = rng.random() < 0.3  # each mark in its own direction
        self.angle = rng.uniform(0, np.pi / 2)
        self.lobes = rng.normal(0, 0.22, 5) / (1, 1, 1.3, 1.6, 2)  # of the outline, shares of the radius
        self.phases = rng.uniform(0, 2 * np.pi, 5)
        self.ragged = rng.uniform(0, 0.35) if rng.random() < 0.5 else 0.0
        self.soft = _between(rng, 0.6, 8)  # pixels: width of an edge
        self.level = 0.5 + 0.5 * rng.uniform(0.25, 1.1) * rng.choice([-1, 1])  # brightness
        self.rim = rng.uniform(-0.5, 0.5) if rng.random() < 0.5 else 0.0
        self.rim_width = rng.uniform(0.8, 3)  # pixels
        self.grain, self.depth = _Grain(rng), rng.uniform(0, 0.2)
        self.place = rng.uniform(-0.25, 0.25, 2)  # distance from the frame's middle, in shares of its sides
        self.scatter = rng.uniform(0.06, 0.5) if few else 0.5

    def over(self, light: Field, rng: np.random.Generator) -> Field:
        """Draw a sample of the marks over the light."""
        inner, ragged = self.grain.field(rng), self.grain.field(rng)
        for _ in range(max(1, round(self.count * rng.uniform(0.7, 1.35)))):
            inside = self._inside(rng) + self.ragged * 0.5 * min(self.size, 12) * ragged
            filled = np.maximum(0.35 * light + 0.5 * self.level + self.depth * inner, 0)
            light = over(light, filled, ramp(inside, self.soft))
            light += self.rim * bell(inside, self.rim_width)
        return light

    def _inside(self, rng: np.random.Generator) -> Field:
        """Draw one mark: about the distance to its outline in pixels, positive inside."""
        row, column = (self.place + rng.uniform(-self.scatter, self.scatter, 2)) * (HEIGHT, WIDTH)
        angle = rng.uniform(0, np.pi) if self.turned else self.angle + rng.normal(0, 0.12)
        cosine, sine, squeeze = float(np.cos(angle)), float(np.sin(angle)), float(np.sqrt(self.aspect))
        down, right = _ROWS - np.float32(row), _COLUMNS - np.float32(column)
        along = (right * cosine + down * sine) / squeeze
        across = (down * cosine - right * sine) * squeeze
        around = np.arctan2(across, along)
        outline = np.ones_like(around)
        for lobes, depth, phase in zip((2, 3, 4, 5, 7), self.lobes, self.phases, strict=True):
            depth_here, phase_here = depth * (1 + 0.2 * rng.normal()), phase + rng.normal(0, 0.15)
            outline += depth_here * np.cos(lobes * around + phase_here)
        radius = self.size * np.exp(rng.normal(0, 0.2))
        return np.float32(radius) * np.maximum(outline, 0.15) - length(along, across)


class _Texture:
    """A class: its program, from the ground up to the camera."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.ground, self.contrast = _Grain(rng), _between(rng, 0.05, 0.45)
        self.second, self.share = _Grain(rng), rng.uniform(0, 0.8) if rng.random() < 0.5 else 0.0
        self.marks = [_Marks(rng) for _ in range(rng.choice([0, 1, 1, 1, 2, 2]))]
        self.bright = rng.uniform(0.3, 0.75)
        self.spot = (
            rng.uniform(-0.7, 0.9) if rng.random() < 0.4 else 0.0
        )  # of light, or of shadow if negative
        self.spot_width = rng.uniform(0.15, 0.6)  # share of a side
        self.spot_place = rng.uniform(-0.35, 0.35, 2)

    def frame(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Draw a sample, uint8[HEIGHT, WIDTH]."""
        grain = self.ground.field(rng)
        if self.share:
            grain += self.share * (self.second.field(rng) - grain)
        light = self.bright * (1 + self.contrast * np.exp(rng.normal(0, 0.2)) * grain)
        for marks in self.marks:
            light = marks.over(light, rng)
        row, column = self.spot_place + rng.normal(0, 0.05, 2)
        away = length(_ROWS / HEIGHT - row, _COLUMNS / WIDTH - column)
        light = light * (1 + self.spot * bell(away, 1.4 * self.spot_width))
        slope = rng.normal(0, 0.25, 2)
        exposure = np.exp(slope[0] * _ROWS / HEIGHT + slope[1] * _COLUMNS / WIDTH + rng.normal(0, 0.2))
        level = 8 + 240 * (1 - np.exp(-1.4 * np.maximum(light, 0) * exposure))
        if rng.random() < 0.5:
            blur(level)
        noisy = level + rng.normal(0, rng.uniform(0.5, 4), level.shape)
        pixels: NDArray[np.uint8] = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
        return pixels
