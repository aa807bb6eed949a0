"""The paper's Tables 1 to 4 from finished runs, and also n, spread and intervals.

Runs with folder names that differ only in ``-seed<k>`` are one row. Figures are drawn next to the tables.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trainer.evaluation.metrics import wilson
from trainer.network import lite0
from trainer.paper import figures
from trainer.paper.runs import SINGLE, Metric, RunGroup, read_groups
from trainer.paper.speed import int8_name, measure_groups
from trainer.run.folder import read_split

TABLES_FILE = "tables.md"

_METHODS = {  # by the model's name in results.json
    SINGLE: "single network",
    lite0.TEACHER: "pretrained teacher, EfficientNet-Lite0",
    "mean": "mean ensemble",
    "focal": "focal ensemble",
    "student": "distilled student",
    "artifact": "student, int8",
    "ridge": "ridge on 40×24 pixels",
    "probe": "frozen EfficientNet-Lite0, logistic regression",
}
_METRICS: tuple[tuple[Metric, str, float, int], ...] = (  # with its heading, unit and digits
    ("accuracy", "accuracy %", 100, 1),
    ("macro_f1", "macro F1 %", 100, 1),
    ("balanced_accuracy", "balanced accuracy %", 100, 1),
    ("cross_entropy", "cross entropy", 1, 3),
)


@dataclass(frozen=True)
class Table:
    """A table, with the text of its cells."""

    title: str
    header: list[str]
    rows: list[list[str]]

    def markdown(self) -> str:
        """The table under its title, in Markdown."""
        lines = [self.header, ["---"] * len(self.header), *self.rows]
        return "\n".join([f"## {self.title}", "", *("| " + " | ".join(cells) + " |" for cells in lines), ""])


def tables(folder: Path) -> dict[str, Any]:
    """Read the runs, measure speed, write ``tables.md`` and the figures into the folder.

    The speed of an ensemble is not measured: it is that of one network, divided by the number of networks. An
    ensemble with a pretrained teacher is of two architectures, so Table 4 leaves it out.

    Returns:
        ``tables``, each with ``title header rows``; ``figures``, names of files; ``threads`` and
        ``frames_per_second`` as measured.

    Raises:
        RecipeError: there is no finished run.
    """
    groups = read_groups(folder)
    speeds = measure_groups(groups)
    made = {
        "1": _frames_by_class(groups[0].folder),
        "2": _single_networks(groups),
        "3": _training_methods(groups),
        "4": _accuracy_size_speed(groups, speeds),
    }
    text = "\n".join(table.markdown() for table in made.values())
    (folder / TABLES_FILE).write_text(text, encoding="utf-8")
    return {
        "tables": {number: asdict(table) for number, table in made.items()},
        "figures": figures.draw(folder, groups),
        "threads": torch.get_num_threads(),
        "frames_per_second": speeds,
    }


def spread(values: Sequence[float], unit: float = 100, digits: int = 1) -> str:
    """Format as ``93.1 ± 0.4 (n = 3)``, in percent by default; a single value has no spread."""
    mean = f"{unit * statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean} (n = 1)"
    return f"{mean} ± {unit * statistics.stdev(values):.{digits}f} (n = {len(values)})"


def _frames_by_class(run: Path) -> Table:
    split = read_split(run)
    count = Counter((row["label"], row["part"]) for row in split)
    parts = sorted({row["part"] for row in split}, key=["train", "valid", "test"].index)
    labels = sorted({row["label"] for row in split})
    rows = [[label, *(str(count[label, part]) for part in parts)] for label in labels]
    rows.append(["all", *(str(sum(count[label, part] for label in labels)) for part in parts)])
    return Table("Table 1: frames by class", ["class", *parts], rows)


def _single_networks(groups: Iterable[RunGroup]) -> Table:
    header = ["run", "network", "accuracy %", "95% interval of the frames", "macro F1 %"]
    header += ["balanced accuracy %", "parameters 10⁷"]
    return Table("Table 2: single networks", header, [_single_network(group) for group in groups])


def _single_network(group: RunGroup) -> list[str]:
    accuracies, n = group.values(SINGLE), group.held_out_frames
    low, high = wilson(round(statistics.fmean(accuracies) * n), n)
    return [
        group.name,
        group.architecture,
        spread(accuracies),
        f"{100 * low:.1f} to {100 * high:.1f}",
        spread(group.values(SINGLE, "macro_f1")),
        spread(group.values(SINGLE, "balanced_accuracy")),
        f"{group.parameters / 1e7:.2f}",
    ]


def _training_methods(groups: Sequence[RunGroup]) -> Table:
    rows = []
    for metric, heading, unit, digits in _METRICS:
        for model, method in _METHODS.items():
            cells = [group.values(model, metric) for group in groups]
            if any(cells):
                texts = (spread(values, unit, digits) if values else "" for values in cells)
                rows.append([f"{method}, {heading}", *texts])
    if any(group.verdicts for group in groups):
        rows.append(["verdict", *(_levels(group.verdicts) for group in groups)])
    header = ["method", *(group.name for group in groups)]
    return Table("Table 3: training methods", header, rows)


def _levels(verdicts: Sequence[str]) -> str:
    """Count the verdicts of a group's runs, without their reasons."""
    levels = Counter(verdict.partition(":")[0] for verdict in verdicts)
    return ", ".join(f"{count} × {level}" for level, count in sorted(levels.items()))


def _accuracy_size_speed(groups: Iterable[RunGroup], speeds: Mapping[str, float]) -> Table:
    threads = torch.get_num_threads()
    header = [
        "method",
        "accuracy %",
        "macro F1 %",
        "balanced accuracy %",
        "parameters 10⁷",
        f"frames/s, {threads} CPU thread{'s' * (threads > 1)}",
    ]
    rows = []
    for group in groups:
        for model, networks, measured in (
            (SINGLE, 1, group.name),
            ("focal", group.teachers, group.name),
            ("student", 1, group.name),
            ("artifact", 1, int8_name(group)),
        ):
            accuracies = group.values(model)
            if accuracies and not (model == "focal" and group.values(lite0.TEACHER)):  # of two architectures
                size, speed = networks * group.parameters / 1e7, f"{speeds[measured] / networks:.1f}"
                if networks > 1:
                    speed += f" (divided by {networks}, not measured)"
                others = [spread(group.values(model, each)) for each in ("macro_f1", "balanced_accuracy")]
                method = f"{group.name}: {_METHODS[model]}"
                rows.append([method, spread(accuracies), *others, f"{size:.2f}", speed])
    return Table("Table 4: accuracy, size and speed", header, rows)
