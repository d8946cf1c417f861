"""The machine this runs on: its clock, its memory, and which code it runs."""

from __future__ import annotations

import gc
import hashlib
import time
from pathlib import Path
from typing import Final

import tradelake

_OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000


def collect_seldom() -> None:
    """Spare a process that takes records in the cyclic garbage collector's work.

    Records die by reference count; by default every 700 tuples of a book's levels start a search
    for cycles. What exists now is never searched again: call it when everything is loaded.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 20, 50)


class SystemClock:
    """A :class:`~tradelake.ports.Clock` on the operating system's time of day."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()


def code_version() -> str:
    """Return the package's version and a digest of its sources, for instance ``0.1.0+1f3a...``.

    Two results with equal code versions were made by equal code, committed or not. It is the same
    whether the package is installed or, as in the images, a folder on the path. Loops that were
    generated for compiled strategies lie beside the machine code and do not count.
    """
    digest = hashlib.sha256()
    root = Path(tradelake.__file__).parent
    own = (path for path in root.rglob("*.py") if path.parent.name != "__pycache__")
    for path in sorted(own):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{tradelake.__version__}+{digest.hexdigest()[:12]}"
