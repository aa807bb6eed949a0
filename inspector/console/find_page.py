"""Search for images by what people know of them, and the life of one image."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from inspector.console import charts, shown
from inspector.console.find import MAX_FOUND, find
from inspector.console.state import page, person_of, site_of
from inspector.errors import UsageError
from inspector.upkeep import trace
from inspector.upkeep.trace import Folders

# The parts of a life that name neither the verdict nor the class, as the folders of the archive do.
_BLIND: Final = ("inspection", "times", "artifact", "audit_samples")
_TRAINING: Final = ("created", "recipe", "quantization", "git_commit", "torch_version")


def search(request: Request) -> Response:
    """The images that match the words in the address."""
    text = request.query_params.get("q", "")[:500]
    found = find(site_of(request).console.url, text, person_of(request).name)
    return page(
        request,
        "find.html",
        text=text,
        images=found.images,
        refused=found.refused,
        most=MAX_FOUND,
        seam_address=charts.seam_address,
    )


def life(request: Request) -> Response:
    """Everything that is known of one image: its times, verdicts, artifact, settings and file."""
    console, number = site_of(request).console, request.path_params["inspection"]
    images = shown.by_number(console.url, [number] if number < 1 << 63 else [], person_of(request).name)
    if not images:
        raise UsageError(f"there is no inspection {number}")
    image = images[0]
    folders = Folders(
        console.station, console.drop_folder, console.archive_folder, console.quarantine_folder, console.zone
    )
    [known] = trace.trace(console.url, folders, inspection=number)
    record = known.pop("training_record")
    known["training_record"] = {key: record[key] for key in _TRAINING if key in record}
    kept = {key: value for key, value in known.items() if key in _BLIND} if image.is_blind else known
    return page(
        request,
        "life.html",
        image=image,
        sections=[(key, _items(value)) for key, value in kept.items()],
        seam_address=charts.seam_address,
    )


def _items(content: Any) -> list[dict[str, str]]:
    """Return a part of a life as lists of names and texts; what is nested gets names with dots."""
    entries = content if isinstance(content, list) else [content or {}]
    return [texts for entry in entries if (texts := dict(_texts("", entry)))]


def _texts(prefix: str, entry: dict[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in entry.items():
        if isinstance(value, dict):
            found += _texts(f"{prefix}{key}.", value)
        elif isinstance(value, float):
            found.append((prefix + key, f"{value:.4g}"))
        elif value is not None:
            found.append((prefix + key, str(value)))
    return found


ROUTES: Final[list[BaseRoute]] = [Route("/find", search), Route("/trace/{inspection:number}", life)]
