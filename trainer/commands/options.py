"""Arguments and options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="name of a shipped recipe, or a YAML file")]
Data = Annotated[
    list[Path],
    typer.Option(
        "--data",
        help="labelled frames: class folders, JSON, CSV, train/valid/test; give it again to join sets",
    ),
]


class Conflict(StrEnum):
    """What happens to an image with two labels."""

    REFUSE = "refuse"
    LATER = "later"


OnConflict = Annotated[
    Conflict,
    typer.Option(
        "--on-conflict",
        help="an image with two labels: refuse the data, or keep the label that a person gave later",
    ),
]
RunOut = Annotated[Path, typer.Option("--out", help="run folder; the same folder resumes the run")]
Start = Annotated[
    Path | None,
    typer.Option("--start", help="student.pt, or an fp32 artifact, that the networks start from"),
]
Final = Annotated[
    bool,
    typer.Option(
        "--final",
        help="afterwards train OUT/final on all frames, also those held out; figures stay the run's",
    ),
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="change a key: training.epochs=5")]
Unlabelled = Annotated[
    Path | None,
    typer.Option(help="frames without labels, for the student: the station's archive", exists=True),
]
Devices = Annotated[
    int,
    typer.Option(
        min=1, help="processes that learn together on this host; each uses a GPU, or a share of the CPU"
    ),
]
Nodes = Annotated[
    int, typer.Option(min=1, help="hosts; each runs this command under torchrun or a scheduler")
]
AsJson = Annotated[bool, typer.Option("--json", help="print exactly one JSON object on stdout")]


Seeds = Annotated[
    str, typer.Option("--seeds", help="each run or size once per seed; whole numbers, separated by commas")
]


def whole_numbers(seeds: str) -> list[int]:
    """Return the seeds of :data:`Seeds`, each once.

    Raises:
        UsageError: one is no whole number.
    """
    from trainer.errors import UsageError

    words = list(dict.fromkeys(word.strip() for word in seeds.split(",")))
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"--seeds {seeds!r}: give whole numbers, as 0,1,2")
    return [int(word) for word in words]


class Accelerator(StrEnum):
    """The kind of device on which networks learn."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


AcceleratorName = Annotated[Accelerator, typer.Option("--accelerator", help="auto: a GPU if there is one")]


@dataclass(frozen=True)
class Processes:
    """The processes that the user asked for."""

    accelerator: Accelerator
    devices: int
    nodes: int


class Scheme(StrEnum):
    """The arithmetic of an artifact."""

    DYNAMIC = "dynamic"
    STATIC = "static"
    NONE = "none"


class Part(StrEnum):
    """A part of the data."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


PartName = Annotated[
    Part | None,
    typer.Option("--split", help="the part of the data; default: test, else valid, else everything"),
]
