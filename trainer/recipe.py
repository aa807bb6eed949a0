"""A recipe: every key of a training run, with its default, its unit and the reason for it.

The defaults are the paper's printed recipe (sections 3.1 and 3.3, Algorithm 1). Where the paper prints no
value, the comment says so and why this one was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inspector.network.metadata import WeldClass
from trainer.errors import RecipeError, did_you_mean

Architecture = Literal[
    "weldnet", "mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet34", "inception_v3", "resnet50"
]  # in the order of Table 2
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Network(_StrictModel):
    """The network and its shape."""

    architecture: Architecture = "weldnet"  # what Tables 2 to 4 compare; only WeldNet becomes an artifact
    height: Annotated[int, Field(ge=64)] | None = 487  # pixels: half of the paper's camera (section 3.1) ...
    width: Annotated[int, Field(ge=64)] | None = 400  # pixels; null for both: from the data, see 'pixels'
    pixels: Annotated[int, Field(ge=64 * 64)] = 487 * 400  # a frame's at most, where its size is the data's
    pixels_a_frame: Positive | None = None  # the same, for each training frame: few frames, small ones
    # How many times its own side a frame may grow to, within these: WeldNet leaves 2×2 of 128×128 pixels.
    enlarge: Annotated[float, Field(ge=1, le=4)] = 1.0
    # Pixels a side by which frames are larger than the views that networks learn from (Touvron et al. 2019,
    # FixRes), where that is within 'pixels' and at most a third of a view's side. 64 is WeldNet's stride.
    # Batch norm's statistics are then taken again of such frames.
    grow: Annotated[int, Field(ge=0, le=256)] = 0
    stem: Positive = 32  # WeldNet's channels after the first convolution
    plan: list[tuple[int, int]] = [(1, 1), (2, 2)] * 4  # (channel scale, stride) of each WeldBlock
    # A student.pt whose layers, but the last, all networks start from; auto: the one that comes with the
    # program, where it fits and frames are few; null: random, as printed.
    start: str | None = None

    @model_validator(mode="after")
    def _only_weldnets_start_from_students(self) -> Self:
        if self.start not in (None, "auto") and self.architecture != "weldnet":
            raise ValueError(f"network.start takes a student, which is a weldnet and no {self.architecture}")
        return self

    @model_validator(mode="after")
    def _height_and_width_go_together(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("give both network.height and network.width, or null for both")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels of a frame, once they are known (:func:`trainer.run.reading.sized`)."""
        assert self.height is not None, "the data decides the size"  # noqa: S101 - the pipeline has set it
        assert self.width is not None  # noqa: S101
        return self.height, self.width

    @property
    def view(self) -> tuple[int, int]:
        """Height and width in pixels of what networks learn from."""
        height, width = self.size
        return height - self.grow, width - self.grow


class Data(_StrictModel):
    """What is read, and what is held out where the data names no ``valid`` part."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2  # share of frames: the paper's 4:1 (section 2.1)
    split_seed: Annotated[int, Field(ge=0)] = 0  # apart from 'seed': runs of several seeds share their split
    shared_runs: list[str] = []  # runs that may stand in 'train' and 'valid' though that flatters
    bit_depth: Annotated[int, Field(ge=8, le=16)] = 8  # significant bits of a pixel above 8 bits


class Augmentation(_StrictModel):
    """What is varied in each training frame (section 3.1)."""

    crop: tuple[Share, Share] = (0.75, 0.75)  # share of each side, from–to: 600×731 of 800×974
    rotation: Annotated[float, Field(ge=0, le=180)] = 30  # degrees, either way
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.0  # widest stretch of a crop either way; 1: none
    flip: Share = 0.5  # probability of a horizontal flip: the seam has no left and right
    flip_vertical: Share = 0.0  # probability of a vertical flip; the paper has none
    brightness: Share = 0.2  # either way, share; the paper prints none: exposure drifts by about as much
    contrast: Share = 0.2  # either way, share; the paper prints none

    @model_validator(mode="after")
    def _crop_is_a_range(self) -> Self:
        if not 0.1 <= self.crop[0] <= self.crop[1]:
            raise ValueError("crop must run from a smaller share (at least 0.1) to a larger")
        return self


class Training(_StrictModel):
    """How one network learns (section 3.3); the student learns the same way."""

    epochs: Positive = 25
    min_steps: Annotated[int, Field(ge=0)] = 0  # steps: few frames are gone through several times an epoch
    batch_size: Annotated[int, Field(ge=2)] = 32  # frames; the paper prints none: torchvision's usual
    schedule: Literal["step", "one_cycle"] = "step"  # step is the paper's
    learning_rate: Annotated[float, Field(gt=0)] = 0.01  # of a full batch; the peak of a one_cycle
    milestones: list[Positive] = [15]  # epochs after which a step schedule falls ...
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1  # ... to this share: 0.001 after epoch 15
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False  # the paper prints none
    weight_decay: Annotated[float, Field(ge=0)] = 0.0  # the paper prints none
    label_smoothing: Share = 0.0  # of true labels; the paper prints none
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0  # Beta(α, α) of two frames' shares; 0: off, as printed
    average_epochs: Annotated[float, Field(ge=0)] = 0.0  # time constant of the weights' average; 0: none
    precision: Literal["fp32", "bf16", "auto"] = "fp32"  # auto: bf16 where that is quicker


class Distillation(_StrictModel):
    """What the student learns from (Algorithm 1, lines 8 to 14)."""

    epochs: Annotated[int, Field(ge=0)] = 25  # Algorithm 1: the same as a teacher's; 0: no student
    mixup: Annotated[float, Field(ge=0, le=10)] | None = None  # the student's; null: as the teachers'
    int8_epochs: Annotated[int, Field(ge=0)] = 0  # the last ones: with weights as int8 will round them
    true_labels: Share = 0.0  # their share beside the pseudo labels; Algorithm 1 has none
    confidence: Share = 0.8  # of the ensemble's top class, from which a frame without a label is learnt from


class Ensemble(_StrictModel):
    """The teachers, and how they speak as one (section 2.5)."""

    teachers: Positive = 5  # networks (section 3.3)
    kind: Literal["focal", "mean"] = "focal"  # what labels the student's frames
    k: Annotated[float, Field(gt=0)] = 2.0  # eq. 2's exponent (section 3.3)


class Thresholds(_StrictModel):
    """What PASS and FAIL thresholds are chosen for on the held-out frames: a shop's wishes."""

    escape: Annotated[float, Field(gt=0, lt=1)] = 0.01  # share of defective frames that may PASS
    review: Annotated[float, Field(gt=0, lt=1)] = 0.1  # share of all frames that people can look at


class Artifact(_StrictModel):
    """What the run compiles at its end."""

    scheme: Literal["dynamic", "static", "none"] = "dynamic"  # int8 with each frame's own scales
    version: Annotated[str, Field(min_length=1)] = "1"  # the shop's own count of its models


class Recipe(_StrictModel):
    """Everything a training run can be told."""

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    about: str = ""  # what it is for, and what it shortens, for people
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # splits, initial weights, orders, augmentations
    classes: list[WeldClass] = []  # in the order of the labels' numbers; empty: the folders' names
    accept: list[str] = []  # which classes are accepted, where the names come from the folders
    network: Network = Network()
    data: Data = Data()
    augmentation: Augmentation = Augmentation()
    training: Training = Training()
    distillation: Distillation = Distillation()
    ensemble: Ensemble = Ensemble()
    thresholds: Thresholds = Thresholds()
    artifact: Artifact = Artifact()

    @model_validator(mode="after")
    def _classes_make_sense(self) -> Self:
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names) or len(names) == 1:
            raise ValueError(f"classes must be two or more different names, not {names}")
        if self.classes and self.accept:
            raise ValueError("accept is for classes named by the folders; these have roles of their own")
        return self

    @property
    def trains_student(self) -> bool:
        """Whether the run has a student: only a WeldNet can be one, since only that becomes an artifact."""
        return self.network.architecture == "weldnet" and self.distillation.epochs > 0

    @classmethod
    def from_values(cls, values: Mapping[str, Any], source: str) -> Recipe:
        """Check plain values and make a recipe of them.

        Raises:
            RecipeError: one line that names ``source`` and the first key that is wrong, or another version's.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise RecipeError(f"{source}: {_first_mistake(error)}") from None

    def resolved(self) -> dict[str, Any]:
        """Plain values for YAML and for the artifact's metadata; ``Recipe(**resolved)`` gives it back."""
        return self.model_dump(mode="json")


def _first_mistake(error: ValidationError) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"there is no key '{key}'{did_you_mean(key, _known_keys(Recipe))}"
    if first["type"] == "missing":
        return f"'{key}' is missing"
    was = f" (it is {first['input']!r})" if isinstance(first["input"], str | int | float) else ""
    return f"{f'{key!r} ' if key else ''}{first['msg'].removeprefix('Value error, ')}{was}"


def _known_keys(model: type[BaseModel], prefix: str = "") -> Iterable[str]:
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _known_keys(field.annotation, f"{prefix}{name}.")
