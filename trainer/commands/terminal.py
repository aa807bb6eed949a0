"""A command's terminal: logs, progress and errors on stderr, one result on stdout."""

from __future__ import annotations

import json
import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from trainer.errors import DataError, MissingExtra, ProcessFailed, TrainerError, UsageError

if TYPE_CHECKING:
    from trainer.run.progress import Progress

# Modules of the extra 'train'. If one is missing, the message names the command that installs it.
TRAIN_EXTRA_MODULES = ("torchvision", "torchmetrics", "lightning_fabric", "tensorboard", "matplotlib")
MAX_PROBLEMS_ON_SCREEN = 20  # of more, the whole list goes to a file


@contextmanager
def session(out: Path | None = None) -> Iterator[Progress]:
    """Show logs and a progress bar on stderr, and end an expected error with one line and its exit status.

    ``out`` is the run folder of a command that can be resumed.
    """
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
        _fail(f"{error}{_show_problems(error, out)}", error.exit_status)
    except ProcessFailed as error:
        typer.echo(error.output, err=True, nl=False)
        _fail(str(error), error.exit_status)
    except (TrainerError, ArtifactError, ImageError) as error:
        _fail(str(error), getattr(error, "exit_status", 1))
    except ModuleNotFoundError as error:
        if error.name not in TRAIN_EXTRA_MODULES:
            raise
        _fail(f"training needs {error.name}: pip install 'weldnet-station[train]'", MissingExtra.exit_status)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        _fail(f"{error.filename}: {error.strerror}; name another folder or file", UsageError.exit_status)
    except OSError as error:
        _fail(f"{error.filename or 'input/output'}: {error.strerror or error}", 1)
    except KeyboardInterrupt:
        _fail("stopped; the same command resumes after the last finished epoch" if out else "stopped", 130)


def print_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a result as one JSON object, or as lines of ``key: value``."""
    if as_json:
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
    else:
        typer.echo("\n".join(f"{key}: {value}" for key, value in result.items()))


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"weld-train: {message}", err=True)
    raise typer.Exit(status)


def _show_problems(error: DataError, out: Path | None) -> str:
    """Show every problem on the screen, or in a file if there are many; return the rest of the message."""
    if len(error.problems) == 1:
        return ""
    for problem in error.problems[:MAX_PROBLEMS_ON_SCREEN]:
        typer.echo(f"  {problem}", err=True)
    if len(error.problems) <= MAX_PROBLEMS_ON_SCREEN:
        return ""
    folder = out if out and out.is_dir() else Path(tempfile.mkdtemp(prefix="weld-train-"))
    path = folder / "problems.txt"
    path.write_text(
        "".join(f"{problem}\n" for problem in error.problems), encoding="utf-8", errors="surrogateescape"
    )
    shown, total = MAX_PROBLEMS_ON_SCREEN, len(error.problems)
    return f"; the first {shown} are shown, all {total} are in {path}"
