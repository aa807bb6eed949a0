"""Results as tables for people, on stdout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from trainer.evaluation import wording
from trainer.evaluation.metrics import balanced_accuracy

INTERVAL, NETWORK = "95% interval", "network"  # headings of cells that stay on one line
SHARE = "share"  # heading of the verdicts and mistakes
MIN_WIDTHS = {NETWORK: len("teacher 1"), SHARE: len("overkill"), "p": len("1.000")}  # on a terminal of 80


def show_run(result: dict[str, Any], out: Path) -> None:
    """Show a run's networks, then its files, the verdict on its network in words, and what comes next."""
    named = {wording.network_name(key): each for key, each in result["models"].items()}
    _show_models(named, f"{result['n']} held-out frames, {result['n_train']} to train on")
    if "artifact" in result:
        _show_artifact(result, out)
    else:
        _show_line("no student, so no artifact; the verdict is on the ensemble")
    width = max(map(len, wording.FILES))
    files = [f"  {name:{width}}  {content}" for name, content in wording.files(out).items()]
    _show_line("\n".join([f"\nfiles in {out}:", *files]))
    if level := wording.level_of(result):  # a run of an older version has none
        _show_line(f"\nverdict: {result['training_verdict']}\n  {wording.MEANING[level]}")
    steps = [f"  {command}\n      {why}" for command, why in wording.next_commands(result, out).items()]
    _show_line("\n".join(["\nnext:", *steps]))


def _show_artifact(result: dict[str, Any], out: Path) -> None:
    _show_runs(result["models"])
    if "test" in result:
        _show_models(
            {"artifact": result["test"]}, f"{result['test']['n']} frames of part test, which fitted nothing"
        )
        _show_verdicts(result["test"])
    artifact = result["artifact"]
    if "figures" in result:  # of a run with --final
        _show_line(result["figures"])
    _show_line(
        f"{out / artifact['file']}: {artifact['scheme']}, {artifact['bytes'] / 1e6:.1f} MB; "
        f"agrees with the student on {artifact['agreement_with_student']:.1%} of {result['n']} frames\n"
        f"temperature {result['calibration']['temperature']:.2f}: {result['calibration']['why']}\n"
        f"thresholds: {result['thresholds']['chosen']}"
    )


def show_evaluation(result: dict[str, Any]) -> None:
    """Show the metrics of an artifact, in all and by class."""
    _show_models({result["artifact"]: result}, f"{result['n']} frames, part {result['part']}")
    _show_verdicts(result)
    names = list(result["per_class"])
    rows = []
    for name, row in zip(names, result["confusion"], strict=True):
        each = result["per_class"][name]
        answered = ", ".join(f"{count} {other}" for other, count in zip(names, row, strict=True) if count)
        rows.append([name, each["n"], f"{each['precision']:.0%}", f"{each['recall']:.0%}", answered])
    _show("by class", ("class", "n", "precision", "recall", "answered as"), rows)
    if result["training_verdict"]:
        _show_line(f"verdict of its training: {result['training_verdict']}")


def show_comparison(result: dict[str, Any]) -> None:
    """Show the comparison of two artifacts, in all and by class."""
    comparisons = {"all": result} | result["per_class"]
    rows = [
        [
            name,
            compared["frames"],
            f"{compared['old']['accuracy']:.1%}",
            f"{compared['new']['accuracy']:.1%}",
            compared["only_old"],
            compared["only_new"],
            f"{compared['p']:.3f}",
            compared["verdict"],
        ]
        for name, compared in comparisons.items()
    ]
    for name, key in (("macro F1", "macro_f1"), ("balanced accuracy", "balanced_accuracy")):
        rows.insert(
            1, [name, result["frames"], f"{result['old'][key]:.1%}", f"{result['new'][key]:.1%}", *"    "]
        )
    header = ("class", "n", "old", "new", "only old right", "only new right", "p", "verdict")
    left_out = result["learnt_from"]
    without = (
        "not known which frames an artifact learnt from"
        if left_out is None
        else f"without {left_out} that an artifact learnt from"
    )
    _show(
        f"{result['n']} frames, part {result['part']}, {without}; "
        "McNemar's exact test over runs, corrected by Holm",
        header,
        rows,
    )
    _show(
        "verdicts, each artifact at its own thresholds",
        (SHARE, "n", "runs", "old", INTERVAL, "new", INTERVAL, "p"),
        [_verdict_row(name, each) for name, each in result["verdicts"].items()],
    )


def _verdict_row(name: str, compared: dict[str, Any]) -> list[object]:
    old, new, p = compared["old"], compared["new"], compared["p"]
    shares = [cell for share in (old, new) for cell in (share["count"], _interval(share))]
    return [name, old["n"], old["runs"] or "", *shares, "" if p is None else f"{p:.3f}"]


def show_tables(result: dict[str, Any]) -> None:
    """Show the paper's tables."""
    for table in result["tables"].values():
        _show(table["title"], table["header"], table["rows"])
    _show_line("figures: " + ", ".join(result["figures"]))


def show_suspects(result: dict[str, Any]) -> None:
    """Show how many labels are suspect, and what comes next."""
    Console(soft_wrap=True).print(
        f"{result['suspect']} of {result['n']} labels are suspect\n"
        f"look at {result['page']}, and correct the column label of {result['table']}\n"
        f"then train with {result['train']}",
        highlight=False,
        markup=False,
    )


def show_learning_curve(result: dict[str, Any]) -> None:
    """Show the accuracy by the number of training frames, and the answer in one sentence."""
    rows = [
        [
            f"{point['n_train']:.0f}",
            f"{point['accuracy']:.1%} ± {point['accuracy_sd']:.1%}",
            f"{point['macro_f1']:.1%}",
            f"{point['balanced_accuracy']:.1%}",
        ]
        for point in result["points"]
    ]
    _show(
        f"{result['of']}: {result['n_held_out']} held-out frames, {len(result['seeds'])} seeds",
        ("training frames", "accuracy, ± over seeds", "macro F1", "balanced accuracy"),
        rows,
    )
    Console(soft_wrap=True).print(result["outlook"]["sentence"], highlight=False, markup=False)


def _show_models(models: dict[str, Any], title: str) -> None:
    rows = []
    if any(result["accuracy_interval_runs"] for result in models.values()):
        title += "; intervals over welding runs"
    for name, result in models.items():
        low, high = result["accuracy_interval_runs"] or result["accuracy_interval"]
        rows.append(
            [
                name,
                f"{result['accuracy']:.1%}",
                f"{100 * low:.1f} to {high:.1%}",
                f"{result['macro_f1']:.1%}",
                f"{balanced_accuracy(result['per_class']):.1%}",
                f"{result['calibration_error']:.3f}",
            ]
        )
    header = (NETWORK, "accuracy", INTERVAL, "macro\nF1", "balanced accuracy", "calibration error")
    _show(title, header, rows)


def _show_verdicts(result: dict[str, Any]) -> None:
    shares = {name: result[name] for name in ("passed", "failed", "review", "novel", "escapes", "overkill")}
    shares |= {f"escapes: {name}": share for name, share in result["escapes_by_class"].items()}
    rows = [
        [name, f"{share['count']} of {share['n']}", share["runs"] or "", _interval(share)]
        for name, share in shares.items()
    ]
    _show("verdicts at the artifact's thresholds", (SHARE, "frames", "runs", INTERVAL), rows)


def _interval(share: dict[str, Any]) -> str:
    if share["interval"] is None:
        return ""
    low, high = share["interval"]
    return f"{100 * low:.1f} to {high:.1%}"


def _show_runs(models: dict[str, Any]) -> None:
    rows = [
        [name, each["n"], f"{each['accuracy']:.0%}", f"{models['artifact']['by_run'][name]['accuracy']:.0%}"]
        for name, each in models["student"]["by_run"].items()
    ]
    if rows:
        _show("by welding run", ("run", "n", "student", "artifact"), rows)


def _show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    columns = (Column(name, no_wrap=name == INTERVAL, min_width=MIN_WIDTHS.get(name)) for name in header)
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*map(str, row))
    Console().print(table)


def _show_line(text: str) -> None:
    Console(soft_wrap=True).print(text, highlight=False, markup=False)
