"""The page of suspect labels: each picture beside what it is said to be and what it looks like.

One HTML file with its pictures inside, so that it can be sent to the person who knows the welds.
"""

from __future__ import annotations

import base64
import io
import math
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from PIL import Image

from trainer.data.frames import FrameSet

if TYPE_CHECKING:
    from trainer.labels.suspects import Suspects

MAX_SHOWN = 200  # frames on the page, some 4 MB; the table has all
SHARE_SHOWN = 0.1  # of the frames at least, also if they are no suspects
_TYPICAL = 4  # pictures of each class that the model is surest of, for comparison
_SIDE = 360  # pixels of a picture's longer side at most; a larger one opens by its path


def render(found: Suspects) -> str:
    """Return the page's HTML."""
    sample, opinion = found.sample, found.opinion
    first = math.ceil(SHARE_SHOWN * len(sample.labels))
    ranked = list(enumerate(opinion.order.tolist(), start=1))
    ranked = [(rank, row) for rank, row in ranked if rank <= first or opinion.suspect[row]]
    shown = [(rank, row) for rank, row in ranked if not np.isnan(opinion.of_label[row])][:MAX_SHOWN]
    cards = [
        {
            "rank": rank,
            "name": sample.frames.frames[row].name,
            "picture": _picture(sample.frames, row),
            "label": sample.classes[sample.labels[row]],
            "suspect": bool(opinion.suspect[row]),
            "proposed": sample.classes[opinion.proposed[row]],
            "of_label": found.probabilities[row, sample.labels[row]],
            "of_proposed": found.probabilities[row, opinion.proposed[row]],
        }
        for rank, row in shown
    ]
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("trainer.labels", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("suspects.html").render(
        n=len(sample.labels),
        suspects=int(opinion.suspect.sum()),
        cards=cards,
        typical=_typical(found),
        source=sample.source,
    )


def _typical(found: Suspects) -> list[dict[str, Any]]:
    """Return the pictures of each class whose label the model is surest of."""
    sample, labels = found.sample, found.sample.labels
    of_label = np.nan_to_num(found.probabilities[np.arange(len(labels)), labels], nan=-1.0)
    classes = []
    for number, name in enumerate(sample.classes):
        rows = np.flatnonzero((labels == number) & ~found.opinion.suspect)
        surest = rows[np.argsort(-of_label[rows], kind="stable")][:_TYPICAL]
        classes.append({"name": name, "pictures": [_picture(sample.frames, int(row)) for row in surest]})
    return classes


def _picture(frames: FrameSet, row: int) -> str:
    """Return a picture as a data URL: JPEG, because hundreds of them are in one file."""
    image = Image.fromarray(frames.images[row, 0].numpy())
    image.thumbnail((_SIDE, _SIDE))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
