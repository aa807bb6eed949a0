"""The paper's Tables 1 to 4 from finished runs, with what the paper leaves out: n, spread, intervals.

Runs whose folders' names differ in ``-seed<k>`` alone are one row. Figures are drawn beside them.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from trainer.evaluation.metrics import wilson
from trainer.evaluation.report import open_network
from trainer.network.architectures import build
from trainer.paper import figures
from trainer.paper.speed import frames_per_second, frozen
from trainer.recipe_file import load
from trainer.sweep import finished

Runs = dict[str, dict[str, Any]]  # results by run folder's name

_METHODS = {
    "mean": "mean ensemble",
    "focal": "focal ensemble",
    "student": "distilled student",
    "artifact": "student, int8",
    "ridge": "ridge on 40×24 pixels",
}


def tables(folder: Path) -> dict[str, Any]:
    """Read the runs, measure speed, write ``tables.md`` and the figures into the folder.

    Returns:
        ``tables``, each with ``title header rows``; ``figures``, names of files; ``threads`` and
        ``frames_per_second`` as measured.

    Raises:
        RecipeError: there is no finished run.
    """
    runs = finished(folder)
    rows = _grouped(runs)
    where = {name: folder if (folder / "results.json").is_file() else folder / name for name in runs}
    speed = _speed({name: where[next(iter(group))] for name, group in rows.items()}, rows)
    made = {
        "1": _census(where[next(iter(runs))]),
        "2": _singles(rows),
        "3": _methods(rows),
        "4": _costs(rows, speed),
    }
    (folder / "tables.md").write_text(_markdown(made.values()), encoding="utf-8")
    return {
        "tables": made,
        "figures": figures.draw(folder, where, rows),
        "threads": torch.get_num_threads(),
        "frames_per_second": speed,
    }


def spread(values: Sequence[float], unit: float = 100, digits: int = 1) -> str:
    """``93.1 ± 0.4 (n = 3)``, in percent unless told otherwise; one value stands alone."""
    mean = f"{unit * statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean} (n = 1)"
    return f"{mean} ± {unit * statistics.stdev(values):.{digits}f} (n = {len(values)})"


def values(group: Runs, model: str, figure: str = "accuracy") -> list[float]:
    """A figure of a model in each run; ``single`` is every teacher of every run."""
    return [
        judged[figure]
        for result in group.values()
        for name, judged in result["models"].items()
        if name == model or (model == "single" and name.startswith("teacher-"))
        if figure in judged  # runs of earlier versions have fewer
    ]


def _grouped(runs: Runs) -> dict[str, Runs]:
    groups: dict[str, Runs] = {}
    for name, result in runs.items():
        groups.setdefault(re.sub(r"-seed\d+$", "", name), {})[name] = result
    return groups


def _census(run: Path) -> dict[str, Any]:
    with (run / "split.csv").open(encoding="utf-8", errors="surrogateescape") as stream:
        split = list(csv.DictReader(stream))
    count = Counter((row["label"], row["part"]) for row in split)
    parts = sorted({row["part"] for row in split}, key=["train", "valid", "test"].index)
    labels = sorted({row["label"] for row in split})
    rows = [[label, *(str(count[label, part]) for part in parts)] for label in labels]
    rows.append(["all", *(str(sum(count[label, part] for label in labels)) for part in parts)])
    return {"title": "Table 1: frames by class", "header": ["class", *parts], "rows": rows}


def _singles(rows: dict[str, Runs]) -> dict[str, Any]:
    lines = []
    for name, group in rows.items():
        first = next(iter(group.values()))
        singles = values(group, "single")
        low, high = wilson(round(statistics.fmean(singles) * first["n"]), first["n"])
        lines.append(
            [
                name,
                first["architecture"],
                spread(singles),
                f"{100 * low:.1f} to {100 * high:.1f}",
                spread(values(group, "single", "macro_f1")),
                f"{first['parameters'] / 1e7:.2f}",
            ]
        )
    header = ["run", "network", "accuracy %", "95% interval of the frames", "macro F1 %", "parameters 10⁷"]
    return {"title": "Table 2: single networks", "header": header, "rows": lines}


def _methods(rows: dict[str, Runs]) -> dict[str, Any]:
    lines = []
    figures_told = (
        ("accuracy", "accuracy %", 100, 1),
        ("macro_f1", "macro F1 %", 100, 1),
        ("cross_entropy", "cross entropy", 1, 3),
    )
    for figure, told, unit, digits in figures_told:
        for model, method in ({"single": "single network"} | _METHODS).items():
            cells = [values(group, model, figure) for group in rows.values()]
            if any(cells):
                told_cells = (spread(cell, unit, digits) if cell else "" for cell in cells)
                lines.append([f"{method}, {told}", *told_cells])
    return {"title": "Table 3: training methods", "header": ["method", *rows], "rows": lines}


def _costs(rows: dict[str, Runs], speed: dict[str, float]) -> dict[str, Any]:
    threads = torch.get_num_threads()
    lines = []
    for name, group in rows.items():
        first = next(iter(group.values()))
        teachers = sum(model.startswith("teacher-") for model in first["models"])
        for model, networks, measured in (
            ("single", 1, name),
            ("focal", teachers, name),
            ("student", 1, name),
            ("artifact", 1, f"{name}, int8"),
        ):
            if not values(group, model):
                continue
            lines.append(
                [
                    f"{name}: {_METHODS.get(model, 'single network')}",
                    spread(values(group, model)),
                    f"{networks * first['parameters'] / 1e7:.2f}",
                    f"{speed[measured] / networks:.1f}",
                ]
            )
    header = [
        "method",
        "accuracy %",
        "parameters 10⁷",
        f"frames/s, {threads} CPU thread{'s' * (threads > 1)}",
    ]
    return {"title": "Table 4: accuracy, size and speed", "header": header, "rows": lines}


def _speed(where: dict[str, Path], rows: dict[str, Runs]) -> dict[str, float]:
    """Of each network and each artifact, in one go; weights do not matter to it."""
    networks: dict[str, Any] = {}
    for name, run in where.items():
        recipe = load(str(run / "recipe.yaml"))
        first = next(iter(rows[name].values()))
        classes = len(first["models"]["mean"]["per_class"])
        frame = torch.randint(256, (1, 1, *recipe.network.size), dtype=torch.uint8)
        pixels = (frame / 255).contiguous(memory_format=torch.channels_last)
        networks[name] = frozen(build(recipe.network, classes), pixels), pixels
        if "artifact" in first:
            networks[f"{name}, int8"] = open_network(run / first["artifact"]["file"]), frame
    return frames_per_second(networks)


def _markdown(tables: Iterable[dict[str, Any]]) -> str:
    lines = []
    for told in tables:
        lines += [f"## {told['title']}", "", *map(_row, [told["header"], ["---"] * len(told["header"])])]
        lines += [*map(_row, told["rows"]), ""]
    return "\n".join(lines)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
