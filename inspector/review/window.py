"""A picture beside the terminal: a page in the browser that reloads itself, so that one window is enough.

The page is in a folder of its own in the person's home, because a browser in a sandbox (snap, flatpak) cannot
read ``/tmp``.
"""

from __future__ import annotations

import base64
import html
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

_RELOAD_S = 1
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">{reload}<title>{title}</title>
<style>body {{ margin: 0; font: 1.2em sans-serif; }}
img {{ display: block; max-width: 100vw; max-height: 100vh; margin: auto; }}</style>
</head><body>{content}</body></html>
"""


def has_display() -> bool:
    """Return whether a window can be opened."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Window:
    """A page that shows one picture after the other; use it as a context manager."""

    def __enter__(self) -> Self:
        try:
            self._folder = Path(tempfile.mkdtemp(prefix="weldnet-review-", dir=Path.home()))
        except (OSError, RuntimeError):  # no home, or one that cannot be written to
            self._folder = Path(tempfile.mkdtemp(prefix="weldnet-review-"))
        self.page = self._folder / "image.html"
        self._is_open = False
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_open:
            self._write("review", "<p>The review has ended.</p>", reload="")
        shutil.rmtree(self._folder, ignore_errors=True)

    def show(self, title: str, picture: bytes | str) -> str | None:
        """Show a picture, a PNG, or a line of text instead of it; return what went wrong, or None."""
        if isinstance(picture, str):
            content = f"<p>{html.escape(picture)}</p>"
        else:
            data = base64.b64encode(picture).decode()
            content = f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">'
        try:
            self._write(title, content, reload=f'<meta http-equiv="refresh" content="{_RELOAD_S}">')
        except OSError as error:
            return f"{self.page}: {error.strerror}"
        return None if self._is_open else self._open()

    def _write(self, title: str, content: str, *, reload: str) -> None:
        page = _PAGE.format(reload=reload, title=html.escape(title), content=content)
        unfinished = self.page.with_suffix(".new")
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(self.page)  # the browser never loads half a page

    def _open(self) -> str | None:
        """Open the page in the person's browser, which outlives this program."""
        self._is_open = True
        opener, setsid = shutil.which("xdg-open"), shutil.which("setsid")
        if opener is None or setsid is None:
            return f"no picture: install xdg-utils, or open {self.page} in a browser"
        nothing = subprocess.DEVNULL
        command = [setsid, "--fork", opener, str(self.page)]
        subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, check=False)  # noqa: S603
        return None
