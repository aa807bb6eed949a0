"""Drawings of weld pools, layer by layer, as a camera behind the torch sees them.

The layers from the bottom up are: plates with their joint, bead, pool, hole, specks, torch with its arc,
sensor. A layer takes the light of the layers below (the brightness of each half-size pixel), and returns the
light with itself on top. Sensor noise has full size. There is no physics in it: it was drawn next to real
frames (Bacioiu et al., 2019) until it looked like poor ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.synthetic.drawing import (
    Field,
    bell,
    blur,
    length,
    over,
    ramp,
    texel_coordinates,
    texture_positions,
)
from trainer.synthetic.weld_scenes import GRAIN_MARGIN, HEIGHT, MARGIN, WIDTH, Scene

_DRIFT_PER_FRAME = np.array([0.31, 0.47, 0.73, 1.1])  # radians, for pool width, tail, power and joint


def draw(scene: Scene, index: int) -> NDArray[np.uint8]:
    """Draw frame ``index`` of a run, uint8[974, 800]; it does not depend on frames drawn before."""
    return _Frame(scene, index).pixels()


class _Frame:
    """One instant of a scene: its drifting and flickering values, and its layers."""

    def __init__(self, scene: Scene, index: int) -> None:
        """Draw this instant's values; the order of the draws is part of a seed's meaning."""
        self.scene, self.weld, self.view = scene, scene.weld, scene.view
        self.rng = rng = np.random.default_rng([scene.seed, index])
        top, left = (MARGIN + np.clip(rng.normal(0, 2.5, 2), -MARGIN, MARGIN)).astype(int)
        self.grid = grid = scene.grid.window(top, left)
        drifts: list[float] = np.sin(scene.phases[:4] + index * _DRIFT_PER_FRAME).tolist()
        width_drift, tail_drift, power_drift, joint_drift = drifts
        self.half_width = self.weld.half_width * (1 + 0.05 * width_drift + rng.normal(0, 0.015))
        self.tail = self.weld.tail * (1 + 0.07 * tail_drift + rng.normal(0, 0.02))
        self.power = self.weld.brightness * (1 + 0.08 * power_drift + rng.normal(0, 0.05))
        # mm to the right of the joint
        self.beside_joint = grid.across - (self.weld.joint_offset + 0.2 * joint_drift + rng.normal(0, 0.05))
        self.travelled = self.weld.travel * index  # mm
        # Positions in the textures: one set travels with the plates, the other floats on the pool
        self.on_plates = texture_positions(grid.texel_across, texel_coordinates(grid.along + self.travelled))
        stir = grid.eddies + (int(tail_drift * 8) + index * 2)
        self.on_pool = texture_positions(grid.texel_across + stir, grid.texel_along + stir)
        self.smears = scene.textures.smears[self.on_plates]
        self.lumps = scene.textures.lumps[self.on_plates]
        self.floes = scene.textures.lumps[self.on_pool]
        self.inside_pool = self._inside_pool()

    def pixels(self) -> NDArray[np.uint8]:
        """Draw the layers from the bottom up."""
        light = self._bead(self._plates())
        light *= 1 - 0.5 * bell(self.inside_pool + 0.12, 0.25)  # a dark line along the melt's rim
        light = over(light, self._melt(), ramp(self.inside_pool, 0.3))
        light = self._specks(self._hole(light))
        return self._sensor(self._lens(self._sparks(self._torch(light))))

    def _inside_pool(self) -> Field:
        """Positive inside the pool; about millimetres near its rim."""
        grid = self.grid
        reach = np.where(grid.along > 0, np.float32(self.weld.front), np.float32(self.tail))
        # The melt runs to the lower plate
        lean = 1 + float(0.22 * np.tanh(self.weld.step)) * np.sign(grid.across)
        along = np.abs(grid.along / reach)
        inside: Field = 1 - np.square(grid.across * lean / self.half_width) - along * np.sqrt(along)
        for lobes, depth, phase in zip((2, 3, 7), (0.05, 0.05, 0.02), self.scene.phases[4:7], strict=True):
            inside += depth * np.sin(lobes * grid.angle + (phase + 0.2 * self.travelled))
        inside += 0.22 * self.weld.dross**2 * self.floes  # a foul pool wets raggedly
        inside *= self.half_width / 2
        return inside

    def _shine(self, slope_across: Field, slope_along: Field) -> Field:
        """Arc light on a surface with these slopes, relative to a flat one."""
        grid = self.grid
        shine: Field = 1 + (slope_across * grid.across + slope_along * grid.along) / grid.distance
        return np.maximum(shine, 0.08, out=shine)

    def _plates(self) -> Field:
        """Two rough plates, etched along the seam by the arc, and the joint between them."""
        scene, grid = self.scene, self.grid
        beside_joint = self.beside_joint + 0.1 * self.smears
        left, right = scene.reflectance
        shine = self._shine(
            scene.textures.slope_across[self.on_plates] * scene.roughness,
            scene.textures.slope_along[self.on_plates] * scene.roughness,
        )
        reflectance = (left + (right - left) * ramp(beside_joint, 0.2)) * (1 + 0.12 * self.smears)
        reach = self.half_width * scene.etched_reach
        etched = ramp(reach - np.abs(grid.across) + 0.5 * self.smears, 1.2)
        etched *= ramp(self.weld.front + 2 - grid.along, 2)
        light: Field = 0.24 * reflectance * shine * (1 + 0.45 * etched)
        light = self._step(self._joint(light, beside_joint), beside_joint)
        light *= grid.arc_light
        return light

    def _joint(self, light: Field, beside_joint: Field) -> Field:
        """The dark gap between the plates, and its lit chamfer."""
        gap = self.weld.joint_gap
        light *= 1 - 0.85 * bell(beside_joint, gap)
        light += 0.06 * bell(beside_joint - 1.6 * gap, 0.7 * gap)
        return light

    def _step(self, light: Field, beside_joint: Field) -> Field:
        """The side of a higher plate: bright if it faces the arc, in shadow if it does not."""
        step = self.weld.step
        above = beside_joint if step > 0 else -beside_joint  # positive on the higher plate
        tone = 1.1 if step * self.weld.joint_offset > 0 else -0.8
        side = ramp(above + abs(step), 0.3) * ramp(-above, 0.3)
        light *= 1 + min(abs(step) / 0.6, 1.0) * (tone * side + 0.25 * ramp(above, 0.2))
        return light

    def _bead(self, light: Field) -> Field:
        """The solid bead: a crown across, curved ripples along, and a dark toe on either side."""
        grid, half_width = self.grid, self.half_width
        behind = ramp(-grid.along - 0.3 * self.tail, 0.4 * self.tail)
        toe = 0.97 * half_width - np.abs(grid.across) + 0.06 * self.lumps + 0.12 * self.smears
        # Beside a higher plate the toe is deep
        depth = np.maximum(self.weld.step * np.sign(grid.across), 0)
        light = light * (1 - behind * 0.8 * ramp(toe + 0.2 + 0.7 * depth, 0.3 + 0.3 * depth))
        light += 0.25 * depth * grid.arc_light * behind * bell(toe + 0.5 + 0.8 * depth, 0.15)
        crown = 0.3 * self._bead_shine() * (1 + 0.1 * self.smears) * grid.arc_light
        return over(light, crown, ramp(toe, 0.3) * behind)

    def _bead_shine(self) -> Field:
        """Arc light on the bead's ripples, relative to a flat surface."""
        across = self.grid.across / self.half_width
        uneven = 0.12 * self.lumps + 0.6 * self.smears
        position = self.grid.along + self.travelled - 0.8 * self.half_width * np.square(across)
        ripple = np.sin((2 * np.pi) * (position / self.weld.ripple_pitch + uneven))
        ripple = (ripple + 0.4 * np.square(ripple)) * (0.7 + 0.3 * self.smears)
        rough = self.scene.textures.slope_along[self.on_plates] * 0.25
        return self._shine(-0.7 * across, self.scene.ripple_relief * ripple + rough)

    def _melt(self) -> Field:
        """The liquid: a mirror, bright below the arc, dark towards its tail, with a lit rim."""
        grid, inside = self.grid, self.inside_pool
        glow = self.power / (1 + np.square(grid.distance / self.scene.arc_reflection))
        waves = np.sin(grid.distance * 1.9 - self.travelled * 3 + 0.5 * self.floes)
        smears = self.scene.textures.smears[self.on_pool]
        light: Field = (glow + 0.04) * (1 + 0.05 * waves) * (1 + 0.12 * smears)
        lobes = 0.5 + 0.5 * np.sin(grid.angle * 2 + self.scene.phases[8])
        rim = bell(inside - 0.2, 0.15) + 0.3 * bell(inside - (0.9 + 0.3 * lobes), 0.25)
        light += (0.03 + 0.16 * lobes) * self.power * rim / (1 + grid.distance / 14)
        from_middle = length((grid.across - 0.6) / 2.2, (grid.along + 0.55 * self.tail) / 2.6)
        light *= 1 - 0.7 * self.weld.dark_reflection * ramp(1 - from_middle, 0.9)
        return light

    def _hole(self, light: Field) -> Field:
        """Burn-through: a ragged black hole with a hot lip, in the pool behind the arc."""
        if not self.weld.hole_radius:
            return light
        grid = self.grid
        radius = self.weld.hole_radius * (1 + self.rng.normal(0, 0.06))
        ragged = 0.04 * self.floes + 0.14 * self.scene.textures.smears[self.on_pool]
        from_middle = length(grid.across / radius, (grid.along + 0.5 * self.tail) / (1.5 * radius))
        inside = radius * (1 + ragged - from_middle)  # mm, about
        lip = bell(inside + 0.15, 0.17) * (0.5 + 0.4 * np.sin(grid.angle + self.scene.phases[9]))
        light = light * (1 - 0.4 * bell(inside, 1.4)) + 0.5 * lip
        return over(light, 0.015 + 0.2 * light * bell(inside, 0.4), ramp(inside, 0.25))

    def _specks(self, light: Field) -> Field:
        """Dross that floats on the pool, and specks of soot around it."""
        textures, dross = self.scene.textures, self.weld.dross
        in_pool = ramp(self.inside_pool, 0.3)
        floating = self.floes + 0.5 * textures.specks[self.on_pool] + 1.2 * textures.smears[self.on_pool]
        crust = floating + 1.2 * dross * bell(self.inside_pool - 0.5, 0.8) - (4.6 - 4.2 * dross)
        tone = np.maximum(0.3 + 0.3 * textures.slope_across[self.on_pool] + 0.1 * self.lumps, 0.03)
        light = light * (1 - 0.5 * bell(crust, 0.4) * in_pool)
        light = over(light, tone / (1 + np.square(self.grid.distance / 6)), ramp(crust, 0.3) * in_pool)
        soot = textures.specks[self.on_plates] + 0.7 * self.smears - (3.9 - 2.0 * self.weld.soot)
        return light * (1 - 0.75 * ramp(soot, 0.3) * ramp(-self.inside_pool, 0.3))

    def _torch(self, light: Field) -> Field:
        """Arc, electrode and nozzle; lengths in half-size pixels of the picture."""
        view = self.view
        above_tip = -self.grid.rows - view.arc_length
        sideways = self.grid.columns + self.rng.normal(0, 0.6)
        from_arc = length(sideways, 0.8 * (above_tip + 10))
        halo = view.haze / (1 + np.square(from_arc / 75))
        light = light + self.power * (
            0.9 * self._arc_column(sideways, above_tip) + 0.35 * halo + 1.6 * bell(from_arc, 11)
        )
        light = self._electrode(light, sideways, above_tip)
        return self._nozzle(light, sideways, above_tip, halo)

    def _arc_column(self, sideways: Field, above_tip: Field) -> Field:
        """The arc between the electrode's tip and the pool, wider and weaker towards its foot."""
        below_tip = np.maximum(-above_tip, 0)
        fading = np.exp(below_tip * (-1 / (1.3 * self.view.arc_length))) * ramp(3 - above_tip, 8)
        column: Field = bell(sideways / (9 + 0.16 * below_tip), 1) * fading
        return column

    def _electrode(self, light: Field, sideways: Field, above_tip: Field) -> Field:
        """A pointed rod, hottest at its tip."""
        rod = ramp(np.minimum(4 + 0.45 * above_tip, 17) - np.abs(sideways), 2) * ramp(above_tip, 3)
        glow = 0.1 + 0.5 * np.exp(np.maximum(above_tip, 0) * (-1 / 12))
        return over(light, glow + 0.02 * self.scene.textures.slope_across[self.on_pool], rod)

    def _nozzle(self, light: Field, sideways: Field, above_tip: Field, halo: Field) -> Field:
        """The gas nozzle: a dark cup with a lit round rim."""
        half_width = self.view.nozzle_half_width
        bulge = np.sqrt(np.maximum(1 - np.square(sideways / half_width), 0))
        above_rim = above_tip - self.view.stickout - 0.32 * half_width * (1 - bulge)
        cup = 0.02 + 0.03 * halo + 0.14 * np.exp(np.maximum(above_rim, 0) * (-1 / 5))
        cup *= 0.5 + 0.7 * bulge + 0.15 * self.smears
        return over(light, cup, ramp(above_rim, 3) * ramp(half_width - np.abs(sideways), 3))

    def _sparks(self, light: Field) -> Field:
        """Short bright lines; more of them if the pool is foul."""
        rng = self.rng
        for _ in range(rng.poisson(0.6 + 2 * self.weld.dross)):
            top, left = rng.integers(0, light.shape[0] - 4), rng.integers(0, light.shape[1] - 3)
            light[top : top + rng.integers(1, 5), left : left + rng.integers(1, 4)] += 1.5
        return light

    def _lens(self, light: Field) -> Field:
        """Blur, exposure with a log-like response, and darker corners: grey levels of half-size pixels."""
        view = self.view
        for _ in range(view.blur_passes):
            blur(light)
        exposure = view.exposure * (1 + self.rng.normal(0, 0.04))
        level: Field = 6 + 240 * (1 - np.exp(light * (-1.5 * exposure)))
        rows, columns = (np.linspace(-1, 1, count, dtype=np.float32) for count in level.shape)
        level *= 1 - view.vignette / 2 * (np.square(rows)[:, None] + np.square(columns))
        return level

    def _sensor(self, level: Field) -> NDArray[np.uint8]:
        """The picture at full size, with shot and read noise."""
        full = np.asarray(Image.fromarray(level).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        top, left = self.rng.integers(0, GRAIN_MARGIN, 2)
        grain = self.scene.grain[top : top + HEIGHT, left : left + WIDTH]
        noisy: Field = full + grain * np.sqrt(full * (self.view.noise**2 / 128) + 0.6)
        return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
