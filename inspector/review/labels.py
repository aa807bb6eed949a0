"""Which class an inspected image teaches, its run, and a choice of images that are not near-copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from inspector.records import Verdict

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class Taught:
    """An inspected image with the class that it teaches."""

    inspection: int
    sha256: str
    archive_path: str
    label: str
    run: str  # near-copies have the same one: a pass over a seam, or a day
    part: str
    seam: str
    taken_us: int
    decided_us: int | None  # when a person said so; None: it is the station's verdict


def label_of(row: Any, roles: Mapping[str, str], *, final: bool = False) -> str | None:
    """Return the class to teach, or None if no verdict determines it.

    Args:
        row: of an inspection, with ``human_verdict`` and ``human_label`` of the latest human verdict.
        roles: role (``accept``, ``defect``) of each class of the artifact that judged the image.
        final: take the station's class if no person decided.
    """
    if row.human_verdict in (None, Verdict.REVIEW):
        role = {Verdict.PASS: "accept", Verdict.FAIL: "defect"}.get(row.verdict)
        return str(row.label) if final and role and roles.get(row.label) == role else None
    if row.human_label is not None:
        return str(row.human_label)
    accepted = [name for name, role in roles.items() if role == "accept"]
    if row.human_verdict == Verdict.PASS:
        if roles.get(row.label) == "accept":
            return str(row.label)
        return accepted[0] if len(accepted) == 1 else None
    agreed = row.verdict == Verdict.FAIL and roles.get(row.label) == "defect"
    return str(row.label) if agreed else None


def run_of(row: Any) -> str:
    """Return what near-copies have in common: station, part, seam and pass, else the day."""
    where = [row.camera, row.part, row.seam, f"pass {row.pass_no}"] if row.part else [row.local_day]
    return " ".join(" ".join(word.split()) for word in (f"station {row.station_id}", *where) if word)


def limited(
    images: Iterable[Taught],
    *,
    per_seam: int | None,
    per_class: int | None,
    there: Counter[tuple[str, str]],
) -> list[Taught]:
    """Choose images so that no seam and no class has more than its limit.

    Images that a person decided come first. Within a run the chosen ones are spread from its first to its
    last frame. If a class has too many, each run keeps about as many as the others. The same images give the
    same choice.

    Args:
        images: to choose from.
        per_seam: largest number of images of one class in one run; None: all.
        per_class: largest number of images of one class; None: all.
        there: number of images of each run and class that are chosen already, and count.
    """
    groups: dict[tuple[str, str], list[Taught]] = defaultdict(list)
    for image in sorted(images, key=lambda image: (image.taken_us, image.inspection)):
        groups[image.label, image.run].append(image)
    if per_seam is not None:
        for (label, run), group in groups.items():
            groups[label, run] = _spread_people_first(group, max(0, per_seam - there[run, label]))
    if per_class is None:
        return [image for group in groups.values() for image in group]
    chosen: list[Taught] = []
    for label in sorted({label for label, _ in groups}):
        of_class = [group for (name, _), group in groups.items() if name == label]
        used = sum(count for (_, name), count in there.items() if name == label)
        sizes = _equal_shares([len(group) for group in of_class], max(0, per_class - used))
        for group, size in zip(of_class, sizes, strict=True):
            chosen += _spread_people_first(group, size)
    return chosen


def _spread_people_first(group: Sequence[Taught], size: int) -> list[Taught]:
    people = [image for image in group if image.decided_us is not None]
    others = [image for image in group if image.decided_us is None]
    first = spread(people, size)
    return first + spread(others, size - len(first))


def spread(items: Sequence[_Item], size: int) -> list[_Item]:
    """Return at most so many items, evenly from the first to the last.

    >>> spread("abcdefghi", 3), spread("abc", 5), spread("abc", 0)
    (['b', 'e', 'h'], ['a', 'b', 'c'], [])
    """
    size = min(size, len(items))
    return [items[(2 * place + 1) * len(items) // (2 * size)] for place in range(size)]


def _equal_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Return a share of each group, as equal as possible, with at most ``total`` in all.

    >>> _equal_shares([1, 9, 9], 9), _equal_shares([5, 5, 5], 2), _equal_shares([2, 1], 9)
    ([1, 4, 4], [1, 0, 1], [2, 1])
    """
    shares = [0] * len(sizes)
    while total > 0:
        can_grow = [place for place, size in enumerate(sizes) if shares[place] < size]
        if not can_grow:
            break
        growing = spread(can_grow, total)
        for place in growing:
            shares[place] += 1
        total -= len(growing)
    return shares
