"""One welding run: the weld, the camera's view of it, and the plates that travel under it.

Surfaces are described in plate coordinates: millimetres from the arc's foot, across the joint and along it,
positive to the right and ahead of the torch. Camera, torch and pool stay in place while the plates travel.
Everything is drawn at half size, because a lens behind welding glass is softer than its sensor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.synthetic.drawing import Field, Texels, noise_texture, texel_coordinates

WIDTH, HEIGHT = 800, 974  # pixels of a frame: the paper's camera
MARGIN = 12  # half-size pixels around the picture, because the camera shakes
GRAIN_MARGIN = 128  # pixels of sensor noise beyond a frame, so that each frame can take another part

_PERSPECTIVE = 0.0009  # share by which the millimetres per half-size pixel shrink from row to row
_ARC_LIGHT_REACH = 11.0  # mm from the arc at which its light on the plates has halved


@dataclass(frozen=True)
class Weld:
    """The weld, in millimetres unless noted otherwise; a defect is an unusual value."""

    half_width: float  # of the pool
    front: float  # pool length ahead of the arc
    tail: float  # pool length behind the arc
    joint_offset: float  # of the joint to the right of the arc
    joint_gap: float
    step: float  # height of the right plate above the left one
    hole_radius: float  # of a hole behind the arc; 0: no hole
    dark_reflection: float  # 0 to 1: a harmless dark place at the place of a hole
    dross: float  # 0 to 1: covered share of the pool
    soot: float  # 0 to 1: specks on plates and bead
    brightness: float  # of the pool; 1 is usual
    ripple_pitch: float  # of the bead's ripples
    travel: float  # from frame to frame


@dataclass(frozen=True)
class View:
    """The camera's place and settings; lengths in half-size pixels, angles in radians."""

    column: float  # of the arc's foot
    row: float  # of the arc's foot
    scale: float  # mm per pixel at the arc's foot
    yaw: float  # angle between the joint and the line of sight
    elevation_sine: float  # foreshortening of lengths along the joint
    nozzle_half_width: float
    stickout: float  # height of the nozzle's rim above the electrode's tip
    arc_length: float  # height of the electrode's tip above the arc's foot
    exposure: float  # 1 is usual
    haze: float  # strength of the scattered arc light
    blur_passes: int  # of a 1-2-1 filter
    noise: float  # grey levels at mid grey
    vignette: float  # share of light lost in the corners


@dataclass(frozen=True)
class PlateGrid:
    """The point of the plates under each half-size pixel."""

    columns: Field  # half-size pixels to the right of the arc's foot
    rows: Field  # half-size pixels below the arc's foot
    across: Field  # mm to the right of the arc's foot
    along: Field  # mm ahead of the arc's foot
    distance: Field  # mm from a point 1 mm above the arc's foot
    angle: Field  # radians around the arc's foot
    arc_light: Field  # strength of the arc's light, 1 at the arc
    texel_across: Texels
    texel_along: Texels
    eddies: Texels  # texels by which the surface of the melt is stirred

    @classmethod
    def of(cls, view: View) -> PlateGrid:
        """The grid of a view, with a margin on every side."""
        columns = np.arange(WIDTH // 2 + 2 * MARGIN, dtype=np.float32) - (MARGIN + view.column)
        rows = np.arange(HEIGHT // 2 + 2 * MARGIN, dtype=np.float32)[:, None] - (MARGIN + view.row)
        millimetres = view.scale / (1 + _PERSPECTIVE * rows)  # per half-size pixel
        sideways, ahead = columns * millimetres, -rows * millimetres / view.elevation_sine
        cosine, sine = float(np.cos(view.yaw)), float(np.sin(view.yaw))
        across, along = sideways * cosine - ahead * sine, sideways * sine + ahead * cosine
        distance = np.sqrt(np.square(across) + np.square(along) + 1)
        all_columns, all_rows = np.broadcast_arrays(columns, rows)
        return cls(
            columns=all_columns,
            rows=all_rows,
            across=across,
            along=along,
            distance=distance,
            angle=np.arctan2(along, across),
            arc_light=1 / (1 + np.square(distance / _ARC_LIGHT_REACH)),
            texel_across=texel_coordinates(across),
            texel_along=texel_coordinates(along),
            eddies=(np.sin(along) * 3).astype(np.int32),
        )

    def window(self, top: int, left: int) -> PlateGrid:
        """The part of the grid that one frame shows."""
        shown = np.s_[top : top + HEIGHT // 2, left : left + WIDTH // 2]
        return PlateGrid(**{name: values[shown] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Textures:
    """Periodic textures of one run, raveled; see :func:`trainer.synthetic.drawing.texture_positions`."""

    slope_across: Field  # of the rough surface
    slope_along: Field
    smears: Field
    lumps: Field
    specks: Field

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Textures:
        """Draw the textures; the order of the draws is part of a seed's meaning."""
        surface = noise_texture(rng, rng.uniform(0.3, 0.6), stretch=float(rng.choice([0.3, 1.0, 1.0, 3.0])))
        surface += 0.6 * noise_texture(rng, rng.uniform(0.9, 1.8))
        return cls(
            slope_across=np.gradient(surface, axis=1).ravel(),
            slope_along=np.gradient(surface, axis=0).ravel(),
            smears=noise_texture(rng, 9.0).ravel(),
            lumps=noise_texture(rng, 1.6).ravel(),
            specks=noise_texture(rng, 0.45).ravel(),
        )


class Scene:
    """One welding run: everything that its frames share."""

    def __init__(self, weld: Weld, view: View, rng: np.random.Generator) -> None:
        """Draw the run's surfaces; the order of the draws is part of a seed's meaning."""
        self.weld, self.view = weld, view
        self.seed = int(rng.integers(2**63))
        self.phases: list[float] = rng.uniform(0, 2 * np.pi, 12).tolist()
        self.grid = PlateGrid.of(view)
        self.textures = Textures.draw(rng)
        self.reflectance: list[float] = rng.uniform(0.75, 1.25, 2).tolist()  # of the left and right plate
        self.roughness = rng.uniform(0.15, 0.5)  # of the plates
        self.ripple_relief = rng.uniform(0.12, 0.42)
        self.etched_reach = rng.uniform(1.15, 1.9)  # pool half widths within which the arc cleans the plates
        self.arc_reflection = rng.uniform(2.2, 3.8)  # mm: size of the arc's reflection in the pool
        self.grain = rng.standard_normal((HEIGHT + GRAIN_MARGIN, WIDTH + GRAIN_MARGIN), dtype=np.float32)
