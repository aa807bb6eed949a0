"""``weld-train``: the trainer's commands. Heavy imports are inside them, so that ``--help`` is instant.

The module is long, because every command declares its options here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from trainer.commands import labels
from trainer.commands.help import DATA, JUDGE, TRAIN, TrainHeadings, Version
from trainer.commands.options import (
    Accelerator,
    AcceleratorName,
    AsJson,
    Conflict,
    Data,
    Devices,
    Final,
    Nodes,
    OnConflict,
    Overrides,
    PartName,
    Processes,
    RecipeName,
    RunOut,
    Scheme,
    Seeds,
    Start,
    Unlabelled,
    whole_numbers,
)
from trainer.commands.processes import launch
from trainer.commands.terminal import print_result, session

if TYPE_CHECKING:
    from trainer.data.joining import DataSets

app = typer.Typer(
    cls=TrainHeadings,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain lines, as those of weld-inspect
    pretty_exceptions_enable=False,
    help="Train an ensemble on labelled frames, distil it into one network, and compile it for a station.",
)


@app.callback()
def program(version: Version = False) -> None:
    """Read the options that stand before a command."""


@app.command(rich_help_panel=TRAIN)
def run(
    recipe: RecipeName,
    data: Data,
    out: RunOut,
    on_conflict: OnConflict = Conflict.REFUSE,
    start: Start = None,
    overrides: Overrides = None,
    unlabelled: Unlabelled = None,
    final: Final = False,
    accelerator: AcceleratorName = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Run every stage: teachers, ensemble, student, artifact, results. The same command resumes a run."""
    processes = Processes(accelerator, devices, nodes)
    _run_until(
        "results",
        recipe,
        _sets(data, on_conflict),
        out,
        _overrides(overrides, start),
        unlabelled,
        processes,
        final=final,
        as_json=as_json,
    )


@app.command(rich_help_panel=TRAIN)
def teachers(
    recipe: RecipeName,
    data: Data,
    out: RunOut,
    on_conflict: OnConflict = Conflict.REFUSE,
    start: Start = None,
    overrides: Overrides = None,
    accelerator: AcceleratorName = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Run the first stage: train the teachers."""
    processes = Processes(accelerator, devices, nodes)
    _run_until(
        "teachers",
        recipe,
        _sets(data, on_conflict),
        out,
        _overrides(overrides, start),
        None,
        processes,
        as_json=as_json,
    )


@app.command(rich_help_panel=TRAIN)
def distil(
    recipe: RecipeName,
    data: Data,
    out: RunOut,
    on_conflict: OnConflict = Conflict.REFUSE,
    start: Start = None,
    overrides: Overrides = None,
    unlabelled: Unlabelled = None,
    accelerator: AcceleratorName = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Run up to the distilled student, OUT/student.pt. Teachers that are finished are not trained again."""
    processes = Processes(accelerator, devices, nodes)
    _run_until(
        "student",
        recipe,
        _sets(data, on_conflict),
        out,
        _overrides(overrides, start),
        unlabelled,
        processes,
        as_json=as_json,
    )


@app.command(name="compile", rich_help_panel=TRAIN)
def compile_(
    student: Annotated[Path, typer.Argument(metavar="STUDENT", help="student.pt of a run")],
    scheme: Annotated[
        Scheme, typer.Option(help="int8 with scales from each frame, or calibrated ones; none: fp32")
    ],
    out: Annotated[Path, typer.Option("--out", help="file to write")],
    as_json: AsJson = False,
) -> None:
    """Compile a student into an artifact that a station can run."""
    with session():
        from trainer.artifact.student import Student

        metadata = Student.load(student).compile(scheme.value, out)
        result = {"artifact": str(out), "scheme": metadata.quantization, "bytes": out.stat().st_size}
        print_result(result, as_json=as_json)


@app.command(rich_help_panel=JUDGE)
def evaluate(
    artifact: Annotated[Path, typer.Argument(metavar="ARTIFACT", help="file that run or compile wrote")],
    data: Data,
    on_conflict: OnConflict = Conflict.REFUSE,
    part: PartName = None,
    out: Annotated[
        Path | None, typer.Option(help="folder for pictures: confusion, reliability, mistakes")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate an artifact on labelled frames: accuracy, macro F1, confusion, each class."""
    with session() as progress:
        from trainer.evaluation.report import evaluate_artifact

        result = evaluate_artifact(
            artifact, _sets(data, on_conflict), part.value if part else None, progress, out
        )
        if as_json:
            print_result(result, as_json=as_json)
        else:
            from trainer.commands import console

            console.show_evaluation(result)


@app.command(rich_help_panel=JUDGE)
def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="the artifact in service")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="the artifact that may replace it")],
    data: Data,
    on_conflict: OnConflict = Conflict.REFUSE,
    part: PartName = None,
    as_json: AsJson = False,
) -> None:
    """Compare two artifacts on the same frames: better and worse classes, and whether it may be chance."""
    with session() as progress:
        from trainer.evaluation.comparison import compare as compare_artifacts

        result = compare_artifacts(old, new, _sets(data, on_conflict), part.value if part else None, progress)
        if as_json:
            print_result(result, as_json=as_json)
        else:
            from trainer.commands import console

            console.show_comparison(result)


@app.command(rich_help_panel=TRAIN)
def sweep(
    recipe: RecipeName,
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="folder for the runs, one per change and seed")],
    on_conflict: OnConflict = Conflict.REFUSE,
    overrides: Overrides = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(help="one change at a time: network.architecture=[resnet18, mobilenet_v3_small]"),
    ] = None,
    seeds: Seeds = "0,1,2",
    accelerator: AcceleratorName = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Run a recipe and changes of it, with several seeds. The same command skips finished runs."""
    with session(out) as progress:
        from trainer.sweep import sweep as run_all

        with launch(Processes(accelerator, devices, nodes)) as hardware:
            result = run_all(
                recipe,
                _sets(data, on_conflict),
                out,
                progress,
                overrides=overrides or [],
                vary=vary or [],
                seeds=whole_numbers(seeds),
                hardware=hardware,
            )
        if not hardware.leader:
            return
        print_result(result, as_json=as_json)
        if result["failed"]:
            raise typer.Exit(1)


@app.command(rich_help_panel=JUDGE)
def table(
    run_folder: Annotated[Path, typer.Option("--run", help="a run folder, or a folder of them (a sweep)")],
    as_json: AsJson = False,
) -> None:
    """Make the paper's Tables 1 to 4 and Figures 1 and 10 to 14 from finished runs; measure speed."""
    with session():
        from trainer.paper.tables import tables

        result = tables(run_folder)
        if as_json:
            print_result(result, as_json=as_json)
        else:
            from trainer.commands import console

            console.show_tables(result)


@app.command(rich_help_panel=DATA)
def synth(
    out: Annotated[Path, typer.Option("--out", help="folder to write into")],
    count: Annotated[int, typer.Option(min=1, help="frames")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same frames")] = 0,
    what: Annotated[
        Literal["weld-pools", "textures"], typer.Option(help="subject of the frames")
    ] = "weld-pools",
    as_json: AsJson = False,
) -> None:
    """Draw labelled synthetic frames: weld pools to try a station, textures for initial weights."""
    with session() as progress, progress:
        from trainer.synthetic import frames, textures

        drawn, names = frames.frames(count, seed), list(frames.CLASSES)
        if what == "textures":
            drawn, names = textures.frames(count, seed), textures.class_names(count)
        progress.begin("drawing", count)
        labels = frames.write(out, drawn, names, lambda done: progress.advance())
        print_result({"out": str(out), "count": count, "seed": seed, "labels": str(labels)}, as_json=as_json)


app.command(rich_help_panel=DATA)(labels.suspects)
app.command(rich_help_panel=DATA)(labels.learning_curve)


def main() -> None:
    """Entry point of ``weld-train``, which starts again in Python's UTF-8 mode if the locale is another one.

    The paths in a data folder's JSON or CSV are UTF-8. In a Latin-1 locale they would name other bytes.
    """
    if sys.getfilesystemencoding() != "utf-8" and "utf8" not in sys._xoptions:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    app()


def _sets(data: list[Path], on_conflict: Conflict) -> DataSets:
    from trainer.data.joining import DataSets

    return DataSets(tuple(data), on_conflict.value)


def _overrides(overrides: list[str] | None, start: Path | None) -> list[str]:
    """Return the changes of the recipe; JSON quotes a path so that YAML reads it back."""
    own = [] if start is None else [f"network.start={json.dumps(str(start), ensure_ascii=False)}"]
    return [*(overrides or []), *own]


def _run_until(
    stage: str,
    recipe: str,
    data: DataSets,
    out: Path,
    overrides: list[str],
    unlabelled: Path | None,
    processes: Processes,
    *,
    final: bool = False,
    as_json: bool,
) -> None:
    with session(out) as progress:
        from trainer.recipe_file import load

        resolved = load(recipe, overrides)
        from trainer.pipeline import Stage
        from trainer.pipeline import run as run_pipeline

        with launch(processes) as hardware:
            if final:
                from trainer.final import FINAL_FOLDER
                from trainer.final import run as run_final

                out = out / FINAL_FOLDER
                result = run_final(
                    resolved, data, out.parent, progress, unlabelled=unlabelled, hardware=hardware
                )
            else:
                made = run_pipeline(
                    resolved, data, out, progress, Stage(stage), unlabelled=unlabelled, hardware=hardware
                )
                result = made.as_json() if made else None
        if not hardware.leader:
            return
        assert result is not None  # noqa: S101 - the leader has results
        if as_json or stage != Stage.RESULTS:
            print_result(result, as_json=as_json)
            return
        from trainer.commands import console

        console.show_run(result, out)


if __name__ == "__main__":
    main()
