"""A recipe: every key of a training run, with its default, its unit and the reason for it.

The defaults are the paper's printed recipe (sections 3.1 and 3.3, Algorithm 1). If the paper prints no value,
the comment says so and gives the reason for this one. "The authors' public code" is
github.com/Wanglaoban3/WeldNet, which differs from the paper in several numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from inspector.network.metadata import WeldClass
from trainer.errors import RecipeError, did_you_mean

Architecture = Literal[
    "weldnet", "mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet34", "inception_v3", "resnet50"
]  # in the order of Table 2
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]

# Limits against a slip of the finger, which would fill the memory or make numbers overflow after hours
MAX_CHANNELS = 8192  # of any map: 16 times the paper's last one
MAX_WEIGHTS = 200_000_000  # 67 times the paper's, 800 MB
MAX_SIDE = 16_384  # pixels of a frame
MAX_EPOCHS = 100_000  # an epoch has a seed of its own, of a million per network
MAX_STEPS = 10_000_000
MIN_MIXUP = 0.001
MIN_SIDE = {"inception_v3": 75}  # pixels: a smaller view is used up before the last layer


def _no_tiny_mixup(alpha: float) -> float:
    """Refuse what Beta(α, α) cannot be drawn from: both of its numbers become 0."""
    if 0 < alpha < MIN_MIXUP:
        raise ValueError(f"must be 0 or at least {MIN_MIXUP}")
    return alpha


Side = Annotated[int, Field(ge=64, le=MAX_SIDE)]
Epochs = Annotated[int, Field(ge=1, le=MAX_EPOCHS)]
Mixup = Annotated[float, Field(ge=0, le=10), AfterValidator(_no_tiny_mixup)]


def _has_yes_or_no(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_has_yes_or_no, value)))


class _StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse YAML's yes and no for anything else: pydantic would take them for 1 and 0."""
        field = cls.model_fields[info.field_name or ""]
        if field.annotation is not bool and _has_yes_or_no(value):
            raise ValueError("cannot be yes or no (in YAML also true, false, on, off)")
        return value


class Network(_StrictModel):
    """The network, and the size of its frames."""

    architecture: Architecture = "weldnet"  # the networks of Tables 2 to 4; only WeldNet becomes an artifact
    height: Side | None = 487  # pixels: half of the paper's camera (section 3.1)
    width: Side | None = 400  # pixels; null for height and width: taken from the data
    pixels: Annotated[int, Field(ge=64 * 64)] = 487 * 400  # per frame, at most, if the data decides the size
    # Times the training frames: a lower limit if there are few, before sides are rounded to even numbers
    pixels_a_frame: Positive | None = None
    # How many times each side may be enlarged, within these limits: of 128×128 pixels WeldNet leaves 2×2.
    enlarge: Annotated[float, Field(ge=1, le=4)] = 1.0
    # Pixels per side by which frames are larger than the views that networks learn from (Touvron et al. 2019,
    # FixRes), if that stays within 'pixels' and a third of the view's side. 64 is WeldNet's stride.
    # Batch norm's statistics are then computed again from such frames.
    grow: Annotated[int, Field(ge=0, le=256)] = 0
    stem: Positive = 32  # WeldNet's channels after the first convolution
    # (channel scale, stride) of each WeldBlock
    plan: Annotated[list[tuple[Positive, Literal[1, 2]]], Field(min_length=1, max_length=64)] = [
        (1, 1),
        (2, 2),
    ] * 4
    # The student.pt or fp32 artifact from which all networks take their weights; classes that it lacks get
    # random logits. auto: the student that comes with the program, if it fits.
    # null: random weights, as printed.
    start: str | None = None

    @model_validator(mode="after")
    def _only_weldnets_start_from_students(self) -> Self:
        if self.start not in (None, "auto") and self.architecture != "weldnet":
            raise ValueError(f"network.start takes a student, which is a weldnet, not {self.architecture}")
        return self

    @model_validator(mode="after")
    def _has_a_sensible_width(self) -> Self:
        channels = self.stem * math.prod(scale for scale, _ in self.plan)
        if channels > MAX_CHANNELS:
            raise ValueError(
                f"stem and plan end with {channels} channels; at most {MAX_CHANNELS} are allowed"
            )
        weights, before = 0, self.stem
        for scale, _ in self.plan:
            after = before * scale
            weights, before = weights + after * (10 * before + after), after  # 3×3, shortcut, 1×1
        if weights > MAX_WEIGHTS:
            raise ValueError(
                f"stem and plan make {weights:,} weights per network; at most {MAX_WEIGHTS:,} are allowed"
            )
        return self

    @model_validator(mode="after")
    def _height_and_width_go_together(self) -> Self:
        if (self.height is None) != (self.width is None):
            raise ValueError("give both network.height and network.width, or null for both")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels, after :func:`trainer.run.reading.with_frame_size`."""
        assert self.height is not None, "the data decides the size"  # noqa: S101 - the pipeline sets it
        assert self.width is not None  # noqa: S101
        return self.height, self.width

    @property
    def view(self) -> tuple[int, int]:
        """Height and width in pixels of the views that networks learn from."""
        height, width = self.size
        return height - self.grow, width - self.grow


class Data(_StrictModel):
    """How frames are read, and how many are held out if the data has no part ``valid``."""

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2  # share of frames: the paper's 4:1 (section 2.1)
    split_seed: Annotated[int, Field(ge=0)] = 0  # not 'seed', so that runs of several seeds share one split
    shared_runs: list[str] = []  # welding runs that may be in 'train' and 'valid', although that flatters
    bit_depth: Annotated[int, Field(ge=8, le=16)] = 8  # significant bits of a pixel above 8 bits


class Augmentation(_StrictModel):
    """Random changes of each training frame (section 3.1)."""

    crop: tuple[Share, Share] = (0.75, 0.75)  # share of each side, smallest and largest: 600×731 of 800×974
    rotation: Annotated[float, Field(ge=0, le=180)] = 30  # degrees, in both directions
    # Probability of a rotation, and what fills the corners. Neither is printed: the authors' public code has
    # 0.5, and reflects. The defaults are what recipes of earlier versions mean, which lack these keys.
    rotation_share: Share = 1.0
    fill: Literal["black", "reflect"] = "black"
    aspect: Annotated[float, Field(ge=1, le=4)] = 1.0  # largest stretch of a crop, wide or tall; 1: none
    flip: Share = 0.5  # probability of a horizontal flip: the seam has no left and right
    flip_vertical: Share = 0.0  # probability of a vertical flip; the paper has none
    brightness: Share = 0.2  # share, up or down; not printed: exposure drifts by about as much
    contrast: Share = 0.2  # share, up or down; not printed

    @model_validator(mode="after")
    def _crop_is_a_range(self) -> Self:
        if not 0.1 <= self.crop[0] <= self.crop[1]:
            raise ValueError("crop must run from a smaller share (at least 0.1) to a larger one")
        return self


class Training(_StrictModel):
    """How one network learns (section 3.3). The student learns in the same way."""

    epochs: Epochs = 25
    min_steps: Annotated[int, Field(ge=0, le=MAX_STEPS)] = (
        0  # per training: few frames are used several times per epoch
    )
    batch_size: Annotated[int, Field(ge=2, le=100_000)] = (
        32  # frames; not printed: common in torchvision's recipes
    )
    schedule: Literal["step", "one_cycle"] = "step"  # step is the paper's
    learning_rate: Annotated[float, Field(gt=0, le=1e30)] = 0.01  # for a full batch; with one_cycle, the peak
    milestones: list[Positive] = [15]  # epochs after which the schedule 'step' lowers the rate
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1  # factor at a milestone: 0.001 after epoch 15
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False  # not printed
    weight_decay: Annotated[float, Field(ge=0, le=1e30)] = 0.0  # not printed
    label_smoothing: Share = 0.0  # of true labels; not printed
    mixup: Mixup = 0.0  # α: frames mix by Beta(α, α); 0: off, as printed
    # τ of logit adjustment (Menon et al. 2021): 0: off, as printed; 1: answers as for equally common classes
    logit_adjustment: Annotated[float, Field(ge=0, le=2)] = 0.0
    # A frame is drawn in proportion to n^-exponent, with n the frames of its class. 0: each once per pass, as
    # printed; 1: each class as often
    balanced_sampling: Share = 0.0
    average_epochs: Annotated[float, Field(ge=0, le=MAX_EPOCHS)] = (
        0.0  # time constant of the weights' average; 0: none
    )
    precision: Literal["fp32", "bf16", "auto"] = "fp32"  # auto: bf16 if it is faster on this machine
    # Times that a network may begin again if its training frames show that it has not learnt; none as printed
    restarts: Annotated[int, Field(ge=0, le=8)] = 0

    @model_validator(mode="after")
    def _nesterov_has_a_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class Distillation(_StrictModel):
    """How the student learns from the ensemble (Algorithm 1, lines 8 to 14)."""

    epochs: Annotated[int, Field(ge=0, le=MAX_EPOCHS)] = (
        25  # as many as a teacher (Algorithm 1); 0: no student
    )
    mixup: Mixup | None = None  # the student's; null: the teachers' value
    int8_epochs: Annotated[int, Field(ge=0, le=MAX_EPOCHS)] = (
        0  # at the end, with weights rounded as int8 will round them
    )
    true_labels: Share = 0.0  # weight of the true label beside the pseudo label; none in Algorithm 1
    confidence: Share = 0.8  # probability of the ensemble's top class from which an unlabelled frame is used


class Ensemble(_StrictModel):
    """The teachers, and how their answers are combined (section 2.5)."""

    teachers: Annotated[int, Field(ge=1, le=100)] = 5  # networks (section 3.3)
    # One more teacher, a pretrained EfficientNet-Lite0: a logistic regression on its features (probe), or
    # trained further (fine_tuned). auto: by the number of training frames. none: WeldNets, as printed.
    pretrained: Literal["none", "probe", "fine_tuned", "auto"] = "none"
    kind: Literal["focal", "mean"] = "focal"  # the combination that labels the student's frames
    k: Annotated[float, Field(ge=0.1, le=1000)] = 2.0  # exponent of eq. 2 (section 3.3)


class Thresholds(_StrictModel):
    """Goals of a shop, for which PASS and FAIL thresholds are chosen on the held-out frames."""

    escape: Annotated[float, Field(gt=0, lt=1)] = 0.01  # share of each class's defective frames that may PASS
    # Of the promise that no more PASS: 95%, as is usual, so one promise in 20 may be broken
    confidence: Annotated[float, Field(ge=0.8, lt=1)] = 0.95
    review: Annotated[float, Field(gt=0, lt=1)] = 0.1  # share of all frames that people can look at


class Artifact(_StrictModel):
    """The artifact that the run compiles at its end."""

    scheme: Literal["dynamic", "static", "none"] = "dynamic"  # int8 with scales computed for each frame
    version: Annotated[str, Field(min_length=1)] = "1"  # the shop's own number for its models


class Recipe(_StrictModel):
    """All keys of a training run."""

    name: Annotated[str, Field(pattern=r"^[\w.-]{1,64}$")]
    about: str = ""  # one line for people: the purpose, and what is shortened
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0  # splits, initial weights, orders, augmentations
    classes: list[WeldClass] = []  # in the order of the label numbers; empty: the folders' names
    accept: list[str] = []  # the accept classes, if the class names come from the folders
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
        if self.classes and all(c.role == "accept" for c in self.classes):
            raise ValueError("every class has the role accept; at least one must be a defect")
        if self.classes and self.accept:
            raise ValueError("accept is for classes named by folders; these classes have roles already")
        return self

    @property
    def trains_student(self) -> bool:
        """Whether the run trains a student. Only a WeldNet can be one: nothing else can be compiled."""
        return self.network.architecture == "weldnet" and self.distillation.epochs > 0

    @classmethod
    def from_values(cls, values: Mapping[str, Any], source: str) -> Recipe:
        """Make a recipe from plain values.

        Raises:
            RecipeError: a key is wrong, or unknown to this version; the message names ``source`` and the key.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise RecipeError(f"{source}: {_first_mistake(error)}") from None

    def resolved(self) -> dict[str, Any]:
        """Return plain values for YAML and the artifact's metadata; ``Recipe(**values)`` restores them."""
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
