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
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer.errors import DataError, MissingExtra, TrainerError

if TYPE_CHECKING:
    from trainer.progress import Progress

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Trains an ensemble on labelled frames, distils it into one network, compiles that for a station.",
)

_EXTRA = ("torchvision", "torchmetrics", "matplotlib")  # what the 'train' extra brings
_SHOWN = 20  # problems on the screen; more go to a file in full

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="name of a shipped recipe, or a YAML file")]
Data = Annotated[
    Path, typer.Option("--data", help="labelled frames: class folders, JSON, CSV, train/valid/test")
]
Out = Annotated[Path, typer.Option("--out", help="run folder; the same one goes on where it stopped")]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="change a key: training.epochs=5")]
AsJson = Annotated[bool, typer.Option("--json", help="print exactly one JSON object on stdout")]


class Scheme(StrEnum):
    """How an artifact computes."""

    DYNAMIC = "dynamic"
    NONE = "none"


class Part(StrEnum):
    """A part of the data."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


@app.command()
def run(
    recipe: RecipeName, data: Data, out: Out, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Every stage: teachers, ensemble, student, artifact, results. Typed again, it goes on from there."""
    _run("results", recipe, data, out, overrides, as_json=as_json)


@app.command()
def teachers(
    recipe: RecipeName, data: Data, out: Out, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """The first stage alone: train the teachers."""
    _run("teachers", recipe, data, out, overrides, as_json=as_json)


@app.command()
def distil(
    recipe: RecipeName, data: Data, out: Out, overrides: Overrides = None, as_json: AsJson = False
) -> None:
    """Up to the distilled student, OUT/student.pt; teachers that are there are not trained again."""
    _run("student", recipe, data, out, overrides, as_json=as_json)


@app.command(name="compile")
def compile_(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="student.pt of a run")],
    scheme: Annotated[Scheme, typer.Option(help="dynamic: int8 with each frame's own scales; none: fp32")],
    out: Annotated[Path, typer.Option("--out", help="file to write")],
    as_json: AsJson = False,
) -> None:
    """Make a student into an artifact that a station can run."""
    with _friendly():
        from trainer.student import Student

        metadata = Student.load(student).compile(scheme.value, out)
        told = {"artifact": str(out), "scheme": metadata.quantization, "bytes": out.stat().st_size}
        _print(told, as_json)


@app.command()
def evaluate(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="file made by run or compile")],
    data: Data,
    part: Annotated[Part | None, typer.Option(help="default: test, else valid, else everything")] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy, macro F1, per-class figures and confusion of an artifact on labelled frames."""
    with _friendly() as progress:
        from trainer.reporting import evaluate_artifact

        result = evaluate_artifact(artifact, data, part.value if part else None, progress)
        if as_json:
            _print(result, as_json)
        else:
            _print_table({result["artifact"]: result}, f"{result['n']} frames, part {result['part']}")
            _print_classes(result)


@app.command()
def synth(
    out: Annotated[Path, typer.Option("--out", help="folder to write into")],
    count: Annotated[int, typer.Option(min=1, help="frames")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same frames")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw synthetic weld-pool frames with labels, for trying the station out."""
    with _friendly() as progress, progress:
        from trainer import synthetic

        progress.begin("drawing", count)
        labels = synthetic.write(out, count, seed, lambda done: progress.advance())
        _print({"out": str(out), "count": count, "seed": seed, "labels": str(labels)}, as_json)


def main() -> None:
    """Entry point of ``weld-train``."""
    app()


def _run(
    stage: str, recipe: str, data: Path, out: Path, overrides: list[str] | None, *, as_json: bool
) -> None:
    with _friendly(out) as progress:
        from trainer.settings import load

        resolved = load(recipe, overrides or [])
        from trainer.pipeline import Stage
        from trainer.pipeline import run as run_pipeline

        result = run_pipeline(resolved, data, out, progress, Stage(stage))
        if as_json or "models" not in result:
            _print(result, as_json)
            return
        _print_table(result["models"], f"{result['n']} held-out frames, {result['n_train']} to train on")
        _print_runs(result["models"])
        told = result["artifact"]
        typer.echo(
            f"{out / told['file']}: {told['scheme']}, {told['bytes'] / 1e6:.1f} MB; "
            f"agrees with the student on {told['agreement_with_student']:.1%} of {result['n']} frames"
        )


@contextmanager
def _friendly(out: Path | None = None) -> Iterator[Progress]:
    """Logs and a progress bar on stderr; expected errors as one line there, with their exit status."""
    from rich.console import Console
    from rich.logging import RichHandler

    from inspector.images import ImageError
    from inspector.metadata import ArtifactError
    from trainer.progress import Progress

    console = Console(stderr=True)
    handler = (
        RichHandler(console=console, show_path=False) if console.is_terminal else logging.StreamHandler()
    )
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    try:
        yield Progress(console)
    except DataError as error:
        _fail(f"{error}{_name_all(error, out)}", error.exit_status)
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


def _print_table(models: dict[str, Any], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("network", "accuracy", "95% interval", "macro F1", title=title)
    for name, result in models.items():
        low, high = result["accuracy_interval"]
        table.add_row(
            name, f"{result['accuracy']:.1%}", f"{low:.1%} to {high:.1%}", f"{result['macro_f1']:.1%}"
        )
    Console().print(table)


def _print_runs(models: dict[str, Any]) -> None:
    runs = models["student"]["by_run"]
    if not runs:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("run", "n", "student", "artifact", title="by welding run")
    for run_name, result in runs.items():
        other = models["artifact"]["by_run"][run_name]
        table.add_row(run_name, str(result["n"]), f"{result['accuracy']:.0%}", f"{other['accuracy']:.0%}")
    Console().print(table)


def _print_classes(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("class", "n", "precision", "recall", "answered as", title="by class")
    names = list(result["per_class"])
    for name, row in zip(names, result["confusion"], strict=True):
        each = result["per_class"][name]
        answered = ", ".join(f"{count} {other}" for other, count in zip(names, row, strict=True) if count)
        table.add_row(name, str(each["n"]), f"{each['precision']:.0%}", f"{each['recall']:.0%}", answered)
    Console().print(table)


if __name__ == "__main__":
    main()
