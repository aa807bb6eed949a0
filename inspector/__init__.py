"""The station: image files become rows of a quality database, and rows become reports.

One artifact also judges pictures by itself, without settings, folders or a database::

    import inspector

    network = inspector.load("weldnet.pt")
    judgement = network.judge("image.png")
    judgement.verdict, judgement.label, judgement.confidence, judgement.heat

The names in ``__all__`` are for other programs. Each is loaded when it is first used, so that importing the
package is instant: only ``load`` and ``Network`` load torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.errors import ArtifactError as ArtifactError
    from inspector.errors import ImageError as ImageError
    from inspector.network.judging import Network as Network
    from inspector.network.judging import load as load
    from inspector.records import Judgement as Judgement
    from inspector.records import Verdict as Verdict

_PLACES = {
    "ArtifactError": "inspector.errors",
    "ImageError": "inspector.errors",
    "Judgement": "inspector.records",
    "Network": "inspector.network.judging",
    "Verdict": "inspector.records",
    "load": "inspector.network.judging",
}
__all__ = ["ArtifactError", "ImageError", "Judgement", "Network", "Verdict", "load"]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'inspector' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
