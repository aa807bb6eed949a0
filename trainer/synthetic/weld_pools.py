"""Draws weld pools as a camera behind the torch sees them: plates, joint, bead, pool, torch, arc, sensor.

Everything lies in plate coordinates, millimetres, with the arc's foot at the origin: ``x`` across the joint,
``y`` along it, positive ahead of the torch. Camera, torch and pool stand still while the plates travel. The
scene is drawn at half size, as a lens behind welding glass is softer than its sensor; noise has full size.
This is no physics: it was drawn beside real frames (Bacioiu et al., 2019) until it looked like poor ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.synthetic.drawing import Field, bell, length, noise, over, ramp, texels, whole

WIDTH, HEIGHT = 800, 974  # pixels of a frame: the paper's camera
_MARGIN = 12  # half-size pixels around the picture, for a camera that shakes
_COLUMNS, _ROWS = WIDTH // 2 + 2 * _MARGIN, HEIGHT // 2 + 2 * _MARGIN
_PERSPECTIVE = 0.0009  # by how much a half-size pixel's millimetres shrink from row to row
_REACH = 11.0  # mm from the arc at which its light on the plates has halved


@dataclass(frozen=True)
class Weld:
    """What is being welded, in millimetres unless said otherwise; a defect is an unusual value."""

    half_width: float  # of the pool
    front: float  # pool length ahead of the arc
    tail: float  # pool length behind it
    joint: float  # where the joint lies beside the arc
    gap: float  # of the joint
    step: float  # height of the right plate above the left one
    hole: float  # radius of a hole behind the arc; 0: none
    shade: float  # 0 to 1: a harmless dark reflection where a hole would be
    dross: float  # 0 to 1: how much of the pool is covered
    soot: float  # 0 to 1: specks on plates and bead
    heat: float  # brightness of the pool; 1 is usual
    pitch: float  # of the bead's ripples
    speed: float  # travel from frame to frame


@dataclass(frozen=True)
class View:
    """How the camera sees it; lengths in half-size pixels, angles in radians."""

    column: float  # of the arc's foot
    row: float
    scale: float  # mm a pixel at the arc's foot
    yaw: float  # of the joint against the line of sight
    slope: float  # foreshortening: sine of the camera's elevation
    nozzle: float  # half width of the gas nozzle
    stickout: float  # nozzle's rim above the electrode's tip
    arc: float  # electrode's tip above its foot
    exposure: float  # 1 is usual
    haze: float  # scattered arc light
    blur: int  # passes of a 1-2-1 filter
    noise: float  # grey levels at mid grey
    vignette: float  # share of light lost in the corners


class Scene:
    """One welding run: its grids and textures once, then frame after frame."""

    def __init__(self, weld: Weld, view: View, rng: np.random.Generator) -> None:
        self.weld, self.view = weld, view
        self.seed = int(rng.integers(2**63))
        self.phases: list[float] = rng.uniform(0, 2 * np.pi, 12).tolist()
        columns = np.arange(_COLUMNS, dtype=np.float32) - (_MARGIN + view.column)
        rows = np.arange(_ROWS, dtype=np.float32)[:, None] - (_MARGIN + view.row)
        self.columns, self.rows = np.broadcast_arrays(columns, rows)
        near = view.scale / (1 + _PERSPECTIVE * rows)
        across, along = columns * near, -rows * near / view.slope
        c, s = float(np.cos(view.yaw)), float(np.sin(view.yaw))
        self.x, self.y = across * c - along * s, across * s + along * c
        self.distance = np.sqrt(np.square(self.x) + np.square(self.y) + 1)
        self.angle = np.arctan2(self.y, self.x)
        self.lit = 1 / (1 + np.square(self.distance / _REACH))
        self.texel_x, self.texel_y = whole(self.x), whole(self.y)
        self.eddies = (np.sin(self.y) * 3).astype(np.int32)  # texels by which the melt's surface is stirred
        bumps = noise(rng, rng.uniform(0.3, 0.6), stretch=float(rng.choice([0.3, 1.0, 1.0, 3.0])))
        bumps += 0.6 * noise(rng, rng.uniform(0.9, 1.8))
        self.bumps_x = np.gradient(bumps, axis=1).ravel()
        self.bumps_y = np.gradient(bumps, axis=0).ravel()
        self.smears = noise(rng, 9.0).ravel()
        self.lumps = noise(rng, 1.6).ravel()
        self.specks = noise(rng, 0.45).ravel()
        self.plates: list[float] = rng.uniform(0.75, 1.25, 2).tolist()  # reflectance, left and right
        self.roughness = rng.uniform(0.15, 0.5)
        self.relief = rng.uniform(0.12, 0.42)  # of the bead's ripples
        self.cleaned = rng.uniform(1.15, 1.9)  # how far the arc's cleaning reaches, in pool half widths
        self.pull = rng.uniform(2.2, 3.8)  # mm: size of the arc's reflection in the pool
        self.grain = rng.standard_normal((HEIGHT + 128, WIDTH + 128), dtype=np.float32)

    def frame(self, index: int) -> NDArray[np.uint8]:
        """Frame ``index`` of the run, uint8[974, 800]; it depends on nothing that was drawn before."""
        return _Frame(self, index).pixels()


class _Frame:
    """One instant of a scene: what drifts and flickers, and the layers from the plates up to the sensor."""

    def __init__(self, scene: Scene, index: int) -> None:
        self.scene, self.weld, self.view = scene, scene.weld, scene.view
        self.rng = rng = np.random.default_rng([scene.seed, index])
        top, left = (_MARGIN + np.clip(rng.normal(0, 2.5, 2), -_MARGIN, _MARGIN)).astype(int)
        window = np.s_[top : top + HEIGHT // 2, left : left + WIDTH // 2]
        self.columns, self.rows = scene.columns[window], scene.rows[window]
        self.x, self.y, self.distance = scene.x[window], scene.y[window], scene.distance[window]
        self.angle, self.lit = scene.angle[window], scene.lit[window]
        drift = np.sin(scene.phases[:4] + index * np.array([0.31, 0.47, 0.73, 1.1])).tolist()
        self.travel = self.weld.speed * index
        self.half = self.weld.half_width * (1 + 0.05 * drift[0] + rng.normal(0, 0.015))
        self.tail = self.weld.tail * (1 + 0.07 * drift[1] + rng.normal(0, 0.02))
        self.power = self.weld.heat * (1 + 0.08 * drift[2] + rng.normal(0, 0.05))
        self.joint = self.x - (self.weld.joint + 0.2 * drift[3] + rng.normal(0, 0.05))
        texel_x, texel_y = scene.texel_x[window], scene.texel_y[window]
        self.plate = texels(texel_x, whole(self.y + self.travel))  # of what travels with the plates
        stir = scene.eddies[window] + (int(drift[1] * 8) + index * 2)
        self.melt = texels(texel_x + stir, texel_y + stir)  # of what floats on the pool
        self.smears = scene.smears[self.plate]
        self.lumps, self.floes = scene.lumps[self.plate], scene.lumps[self.melt]
        self.pool = self._pool()

    def pixels(self) -> NDArray[np.uint8]:
        """The layers, from the bottom up."""
        light = self._bead(self._plates())
        light *= 1 - 0.5 * bell(self.pool + 0.12, 0.25)  # the dark line where the melt wets the plate
        light = over(light, self._melt(), ramp(self.pool, 0.3))
        light = self._specks(self._hole(light))
        return self._expose(self._torch(light))

    def _pool(self) -> Field:
        """Positive inside the pool; about millimetres near its rim."""
        reach = np.where(self.y > 0, np.float32(self.weld.front), np.float32(self.tail))
        lean = 1 + float(0.22 * np.tanh(self.weld.step)) * np.sign(self.x)  # melt runs to the lower plate
        along = np.abs(self.y / reach)
        field: Field = 1 - np.square(self.x * lean / self.half) - along * np.sqrt(along)
        for lobes, depth, phase in zip((2, 3, 7), (0.05, 0.05, 0.02), self.scene.phases[4:7], strict=True):
            field += depth * np.sin(lobes * self.angle + (phase + 0.2 * self.travel))
        field += 0.22 * self.weld.dross**2 * self.floes  # a foul pool wets raggedly
        field *= self.half / 2
        return field

    def _shine(self, slope_x: Field, slope_y: Field) -> Field:
        """Arc light on a surface with these slopes, relative to a flat one."""
        shine: Field = 1 + (slope_x * self.x + slope_y * self.y) / self.distance
        return np.maximum(shine, 0.08, out=shine)

    def _plates(self) -> Field:
        """Two rough plates, etched along the seam by the arc, and the joint between them, a step or none."""
        scene, step = self.scene, self.weld.step
        joint = self.joint + 0.1 * self.smears
        left, right = scene.plates
        shine = self._shine(
            scene.bumps_x[self.plate] * scene.roughness, scene.bumps_y[self.plate] * scene.roughness
        )
        albedo = (left + (right - left) * ramp(joint, 0.2)) * (1 + 0.12 * self.smears)
        etched = ramp(self.half * scene.cleaned - np.abs(self.x) + 0.5 * self.smears, 1.2)
        etched *= ramp(self.weld.front + 2 - self.y, 2)
        light: Field = 0.24 * albedo * shine * (1 + 0.45 * etched)
        light *= 1 - 0.85 * bell(joint, self.weld.gap)
        light += 0.06 * bell(joint - 1.6 * self.weld.gap, 0.7 * self.weld.gap)  # its lit chamfer
        # A step's side catches the arc where it looks that way, and lies in shadow where it does not.
        side = joint if step > 0 else -joint
        tone = 1.1 if step * self.weld.joint > 0 else -0.8
        band = ramp(side + abs(step), 0.3) * ramp(-side, 0.3)
        light *= 1 + min(abs(step) / 0.6, 1.0) * (tone * band + 0.25 * ramp(side, 0.2))
        light *= self.lit
        return light

    def _bead(self, light: Field) -> Field:
        """The solid bead: a crown across, curved ripples along, a dark toe on either side."""
        across = self.x / self.half
        uneven = 0.12 * self.lumps + 0.6 * self.smears
        phase = (self.y + self.travel - 0.8 * self.half * np.square(across)) / self.weld.pitch + uneven
        ripple = np.sin((2 * np.pi) * phase)
        ripple = (ripple + 0.4 * np.square(ripple)) * (0.7 + 0.3 * self.smears)
        rough = self.scene.bumps_y[self.plate] * 0.25
        shine = self._shine(-0.7 * across, self.scene.relief * ripple + rough)
        toe = 0.97 * self.half - np.abs(self.x) + 0.06 * self.lumps + 0.12 * self.smears
        behind = ramp(-self.y - 0.3 * self.tail, 0.4 * self.tail)
        height = np.maximum(self.weld.step * np.sign(self.x), 0)  # beside a higher plate the toe lies deep
        light = light * (1 - behind * 0.8 * ramp(toe + 0.2 + 0.7 * height, 0.3 + 0.3 * height))
        light += 0.25 * height * self.lit * behind * bell(toe + 0.5 + 0.8 * height, 0.15)
        return over(light, 0.3 * shine * (1 + 0.1 * self.smears) * self.lit, ramp(toe, 0.3) * behind)

    def _melt(self) -> Field:
        """The liquid: a mirror, bright below the arc, dark towards its tail, with a lit rim."""
        glow = self.power / (1 + np.square(self.distance / self.scene.pull))
        waves = np.sin(self.distance * 1.9 - self.travel * 3 + 0.5 * self.floes)
        light: Field = (glow + 0.04) * (1 + 0.05 * waves) * (1 + 0.12 * self.scene.smears[self.melt])
        lobes = 0.5 + 0.5 * np.sin(self.angle * 2 + self.scene.phases[8])
        rim = bell(self.pool - 0.2, 0.15) + 0.3 * bell(self.pool - (0.9 + 0.3 * lobes), 0.25)
        light += (0.03 + 0.16 * lobes) * self.power * rim / (1 + self.distance / 14)
        dark = ramp(1 - length((self.x - 0.6) / 2.2, (self.y + 0.55 * self.tail) / 2.6), 0.9)
        light *= 1 - 0.7 * self.weld.shade * dark
        return light

    def _hole(self, light: Field) -> Field:
        """Burn-through: a ragged black hole with a hot lip, in the pool behind the arc."""
        if not self.weld.hole:
            return light
        radius = self.weld.hole * (1 + self.rng.normal(0, 0.06))
        ragged = 0.04 * self.floes + 0.14 * self.scene.smears[self.melt]
        field = radius * (1 + ragged - length(self.x / radius, (self.y + 0.5 * self.tail) / (1.5 * radius)))
        lip = bell(field + 0.15, 0.17) * (0.5 + 0.4 * np.sin(self.angle + self.scene.phases[9]))
        light = light * (1 - 0.4 * bell(field, 1.4)) + 0.5 * lip
        return over(light, 0.015 + 0.2 * light * bell(field, 0.4), ramp(field, 0.25))

    def _specks(self, light: Field) -> Field:
        """Dross that floats on the pool, and specks of soot around it."""
        scene, dross = self.scene, self.weld.dross
        floating = self.floes + 0.5 * scene.specks[self.melt] + 1.2 * scene.smears[self.melt]
        crust = floating + 1.2 * dross * bell(self.pool - 0.5, 0.8) - (4.6 - 4.2 * dross)
        mask = ramp(crust, 0.3) * ramp(self.pool, 0.3)
        texture = np.maximum(0.3 + 0.3 * scene.bumps_x[self.melt] + 0.1 * self.lumps, 0.03)
        light = light * (1 - 0.5 * bell(crust, 0.4) * ramp(self.pool, 0.3))
        light = over(light, texture / (1 + np.square(self.distance / 6)), mask)
        soot = scene.specks[self.plate] + 0.7 * self.smears - (3.9 - 2.0 * self.weld.soot)
        return light * (1 - 0.75 * ramp(soot, 0.3) * ramp(-self.pool, 0.3))

    def _torch(self, light: Field) -> Field:
        """Electrode, nozzle, the arc's column and its haze, in picture coordinates."""
        view, power = self.view, self.power
        up = -self.rows - view.arc  # above the electrode's tip
        below = np.maximum(-up, 0)
        x = self.columns + self.rng.normal(0, 0.6)
        fading = np.exp(below * (-1 / (1.3 * view.arc))) * ramp(3 - up, 8)
        column = bell(x / (9 + 0.16 * below), 1) * fading
        radius = length(x, 0.8 * (up + 10))
        halo = view.haze / (1 + np.square(radius / 75))
        light = light + power * (0.9 * column + 0.35 * halo + 1.6 * bell(radius, 11))
        rod = ramp(np.minimum(4 + 0.45 * up, 17) - np.abs(x), 2) * ramp(up, 3)
        hot = 0.1 + 0.5 * np.exp(np.maximum(up, 0) * (-1 / 12)) + 0.02 * self.scene.bumps_x[self.melt]
        light = over(light, hot, rod)
        bulge = np.sqrt(np.maximum(1 - np.square(x / view.nozzle), 0))
        rise = up - view.stickout - 0.32 * view.nozzle * (1 - bulge)  # above the nozzle's round rim
        cup = 0.02 + 0.03 * halo + 0.14 * np.exp(np.maximum(rise, 0) * (-1 / 5))
        cup *= 0.5 + 0.7 * bulge + 0.15 * self.smears
        return over(light, cup, ramp(rise, 3) * ramp(view.nozzle - np.abs(x), 3))

    def _expose(self, light: Field) -> NDArray[np.uint8]:
        """Lens and sensor: blur, vignette, a log-like response, shot and read noise."""
        view, rng = self.view, self.rng
        for _ in range(rng.poisson(0.6 + 2 * self.weld.dross)):  # sparks
            row, column = rng.integers(0, light.shape[0] - 4), rng.integers(0, light.shape[1] - 3)
            light[row : row + rng.integers(1, 5), column : column + rng.integers(1, 4)] += 1.5
        for _ in range(view.blur):
            light[1:-1] = (light[:-2] + 2 * light[1:-1] + light[2:]) * 0.25
            light[:, 1:-1] = (light[:, :-2] + 2 * light[:, 1:-1] + light[:, 2:]) * 0.25
        level = 6 + 240 * (1 - np.exp(light * (-1.5 * view.exposure * (1 + rng.normal(0, 0.04)))))
        rows, columns = (np.linspace(-1, 1, n, dtype=np.float32) for n in level.shape)
        level *= 1 - view.vignette / 2 * (np.square(rows)[:, None] + np.square(columns))
        full = np.asarray(Image.fromarray(level).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        top, left = rng.integers(0, 128, 2)
        grain = self.scene.grain[top : top + HEIGHT, left : left + WIDTH]
        noisy: Field = full + grain * np.sqrt(full * (view.noise**2 / 128) + 0.6)
        return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
