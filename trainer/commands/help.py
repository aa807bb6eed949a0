"""The look of ``weld-train``: that of ``weld-inspect``, with headings of its own."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

import typer

from inspector.commands.help import Headings, print_version

TRAIN, JUDGE, DATA = "Train", "Judge", "Data"  # headings, in this order


class TrainHeadings(Headings):
    """The commands of ``weld-train`` under their headings."""

    program = "weld-train"
    headings = (TRAIN, JUDGE, DATA)
    renamed = MappingProxyType({"evaluate": {"--part": "--split"}, "compare": {"--part": "--split"}})


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=print_version(TrainHeadings.program), is_eager=True, help="print the version"
    ),
]
