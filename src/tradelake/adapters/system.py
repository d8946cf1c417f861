"""The machine this runs on: its clock, and which code it runs."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import tradelake


class SystemClock:
    """A :class:`~tradelake.ports.Clock` on the operating system's time of day."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()


def code_version() -> str:
    """Return the package's version and a digest of its sources, for instance ``0.1.0+1f3a...``.

    Two results with equal code versions were made by equal code, committed or not. It is the same
    whether the package is installed or, as in the images, a folder on the path.
    """
    digest = hashlib.sha256()
    root = Path(tradelake.__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{tradelake.__version__}+{digest.hexdigest()[:12]}"
