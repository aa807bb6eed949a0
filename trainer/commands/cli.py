"""``weld-train``: the trainer's commands. Heavy imports stay inside them, so that ``--help`` is instant."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from trainer.errors import DataError, MissingExtra, ProcessFailed, TrainerError

if TYPE_CHECKING:
    from trainer.learning.processes import Hardware
    from trainer.run.progress import Progress

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Trains an ensemble on labelled frames, distils it into one network, compiles that for a station.",
)

_EXTRA = (
    "torchvision",
    "torchmetrics",
    "lightning_fabric",
    "tensorboard",
    "matplotlib",
)  # what the 'train' extra brings
_SHOWN = 20  # problems on the screen; more go to a file in full

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="name of a shipped recipe, or a YAML file")]
Data = Annotated[
    Path, typer.Option("--data", help="labelled frames: class folders, JSON, CSV, train/valid/test")
]
Out = Annotated[Path, typer.Option("--out", help="run folder; the same one goes on where it stopped")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="change a key: training.epochs=5")]
Unlabelled = Annotated[
    Path | None,
    typer.Option(help="frames without labels for the student: the station's archive", exists=True),
]
Devices = Annotated[
    int, typer.Option(min=1, help="processes that learn together on this host: one for each GPU, or of cores")
]
Nodes = Annotated[
    int, typer.Option(min=1, help="hosts; each runs this command under torchrun or a scheduler")
]
AsJson = Annotated[bool, typer.Option("--json", help="print exactly one JSON object on stdout")]


class Scheme(StrEnum):
    """How an artifact computes."""

    DYNAMIC = "dynamic"
    STATIC = "static"
    NONE = "none"


class Accelerator(StrEnum):
    """What networks learn on."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"


OnWhat = Annotated[Accelerator, typer.Option("--accelerator", help="auto: a GPU where there is one")]


class Part(StrEnum):
    """A part of the data."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


ChosenPart = Annotated[Part | None, typer.Option("--part", help="default: test, else valid, else everything")]


@app.command()
def run(
    recipe: RecipeName,
    data: Data,
    out: Out,
    overrides: Overrides = None,
    unlabelled: Unlabelled = None,
    accelerator: OnWhat = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Every stage: teachers, ensemble, student, artifact, results. Typed again, it goes on from there."""
    where = (accelerator, devices, nodes)
    _run("results", recipe, data, out, overrides, unlabelled, where, as_json=as_json)


@app.command()
def teachers(
    recipe: RecipeName,
    data: Data,
    out: Out,
    overrides: Overrides = None,
    accelerator: OnWhat = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """The first stage alone: train the teachers."""
    where = (accelerator, devices, nodes)
    _run("teachers", recipe, data, out, overrides, None, where, as_json=as_json)


@app.command()
def distil(
    recipe: RecipeName,
    data: Data,
    out: Out,
    overrides: Overrides = None,
    unlabelled: Unlabelled = None,
    accelerator: OnWhat = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Up to the distilled student, OUT/student.pt; teachers that are there are not trained again."""
    where = (accelerator, devices, nodes)
    _run("student", recipe, data, out, overrides, unlabelled, where, as_json=as_json)


@app.command(name="compile")
def compile_(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="student.pt of a run")],
    scheme: Annotated[
        Scheme, typer.Option(help="int8 with each frame's own scales, or with calibrated ones; none: fp32")
    ],
    out: Annotated[Path, typer.Option("--out", help="file to write")],
    as_json: AsJson = False,
) -> None:
    """Make a student into an artifact that a station can run."""
    with _friendly():
        from trainer.artifact.student import Student

        metadata = Student.load(student).compile(scheme.value, out)
        told = {"artifact": str(out), "scheme": metadata.quantization, "bytes": out.stat().st_size}
        _print(told, as_json)


@app.command()
def evaluate(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="file made by run or compile")],
    data: Data,
    part: ChosenPart = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for pictures: confusion, reliability, mistakes")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy, macro F1, per-class figures and confusion of an artifact on labelled frames."""
    with _friendly() as progress:
        from trainer.evaluation.report import evaluate_artifact

        result = evaluate_artifact(artifact, data, part.value if part else None, progress, out)
        if as_json:
            _print(result, as_json)
        else:
            from trainer.commands import console

            console.show_evaluation(result)


@app.command()
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the artifact in service")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the one that may replace it")],
    data: Data,
    part: ChosenPart = None,
    as_json: AsJson = False,
) -> None:
    """Two artifacts on the same frames: which classes got better or worse, and whether that may be chance."""
    with _friendly() as progress:
        from trainer.evaluation.comparison import compare as compare_artifacts

        result = compare_artifacts(old, new, data, part.value if part else None, progress)
        if as_json:
            _print(result, as_json)
        else:
            from trainer.commands import console

            console.show_comparison(result)


@app.command()
def sweep(
    recipe: RecipeName,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="holds a run folder for each change and seed")],
    overrides: Overrides = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="one change at a time: network.architecture=[resnet18, mobilenet_v3_small]"),
    ] = None,
    seeds: Annotated[str, typer.Option(help="one run each, parted by commas")] = "0,1,2",
    accelerator: OnWhat = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """The recipe and changes of it, for several seeds; typed again, it skips what is done."""
    with _friendly(out) as progress:
        from trainer.sweep import sweep as run_all

        with _launch(accelerator, devices, nodes) as hardware:
            result = run_all(
                recipe,
                data,
                out,
                progress,
                overrides=overrides or [],
                vary=vary or [],
                seeds=[seed.strip() for seed in seeds.split(",")],
                hardware=hardware,
            )
        if not hardware.leader:
            return
        _print(result, as_json)
        if result["failed"]:
            raise typer.Exit(1)


@app.command()
def table(
    run_folder: Annotated[Path, typer.Option("--run", help="a run folder, or a folder of them (a sweep)")],
    as_json: AsJson = False,
) -> None:
    """The paper's Tables 1 to 4 and its Figures 1 and 10 to 14, from finished runs; speed is measured now."""
    with _friendly():
        from trainer.paper.tables import tables

        result = tables(run_folder)
        if as_json:
            _print(result, as_json)
        else:
            from trainer.commands import console

            console.show_tables(result)


@app.command()
def synth(
    out: Annotated[Path, typer.Option("--out", help="folder to write into")],
    count: Annotated[int, typer.Option(min=1, help="frames")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same frames")] = 0,
    what: Annotated[Literal["weld-pools", "textures"], typer.Option(help="what they show")] = "weld-pools",
    as_json: AsJson = False,
) -> None:
    """Draw labelled synthetic frames: weld pools to try the station out, textures to start networks from."""
    with _friendly() as progress, progress:
        from trainer.synthetic import frames, textures

        drawn, names = frames.frames(count, seed), list(frames.CLASSES)
        if what == "textures":
            drawn, names = textures.frames(count, seed), textures.class_names(count)
        progress.begin("drawing", count)
        labels = frames.write(out, drawn, names, lambda done: progress.advance())
        _print({"out": str(out), "count": count, "seed": seed, "labels": str(labels)}, as_json)


def main() -> None:
    """Entry point of ``weld-train``."""
    app()


def _run(
    stage: str,
    recipe: str,
    data: Path,
    out: Path,
    overrides: list[str] | None,
    unlabelled: Path | None,
    where: tuple[Accelerator, int, int],
    *,
    as_json: bool,
) -> None:
    with _friendly(out) as progress:
        from trainer.recipe_file import load

        resolved = load(recipe, overrides or [])
        from trainer.pipeline import Stage, StageSummary
        from trainer.pipeline import run as run_pipeline

        with _launch(*where) as hardware:
            result = run_pipeline(
                resolved, data, out, progress, Stage(stage), unlabelled=unlabelled, hardware=hardware
            )
        if not hardware.leader:
            return
        assert result is not None  # noqa: S101 - the leader has results
        if as_json or isinstance(result, StageSummary):
            _print(result.as_json(), as_json)
            return
        from trainer.commands import console

        console.show_run(result.as_json(), out)


@contextmanager
def _launch(accelerator: Accelerator, devices: int, nodes: int) -> Iterator[Hardware]:
    """The processes that learn together; the leader alone logs how it goes."""
    from trainer.learning.processes import launch

    with launch(accelerator.value, devices, nodes) as hardware:
        if not hardware.leader:
            logging.getLogger().setLevel(logging.WARNING)
        yield hardware


@contextmanager
def _friendly(out: Path | None = None) -> Iterator[Progress]:
    """Logs and a progress bar on stderr; expected errors as one line there, with their exit status."""
    from rich.console import Console
    from rich.logging import RichHandler

    from inspector.imaging.decoder import ImageError
    from inspector.network.metadata import ArtifactError
    from trainer.run.progress import Progress

    console = Console(stderr=True)
    handler = (
        RichHandler(console=console, show_path=False) if console.is_terminal else logging.StreamHandler()
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    try:
        yield Progress(console)
    except DataError as error:
        _fail(f"{error}{_name_all(error, out)}", error.exit_status)
    except ProcessFailed as error:
        typer.echo(error.output, err=True, nl=False)
        _fail(str(error), error.exit_status)
    except (TrainerError, ArtifactError, ImageError) as error:
        _fail(str(error), getattr(error, "exit_status", 1))
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        _fail(f"training needs {error.name}: pip install 'weldnet-station[train]'", MissingExtra.exit_status)
    except OSError as error:
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        _fail("stopped; the same command goes on after the last finished epoch" if out else "stopped", 130)


def _fail(message: str, status: int) -> None:
    typer.echo(f"weld-train: {message}", err=True)
    raise typer.Exit(status)


def _name_all(error: DataError, out: Path | None) -> str:
    """Every problem by name: on the screen, or in a file where they are many."""
    if len(error.problems) == 1:
        return ""
    for problem in error.problems[:_SHOWN]:
        typer.echo(f"  {problem}", err=True)
    if len(error.problems) <= _SHOWN:
        return ""
    folder = out if out and out.is_dir() else Path(tempfile.mkdtemp(prefix="weld-train-"))
    path = folder / "problems.txt"
    path.write_text(
        "".join(f"{problem}\n" for problem in error.problems), encoding="utf-8", errors="surrogateescape"
    )
    return f"; the first {_SHOWN} are shown, all {len(error.problems)} are in {path}"


def _print(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    else:
        typer.echo("\n".join(f"{key}: {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
