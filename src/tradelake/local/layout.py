"""Where the embedded AWS keeps what, and the environment variables that follow from it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from tradelake.errors import ConfigError
from tradelake.topology import names, stores

ENVIRONMENT: Final = "local"
DEFAULT_ROOT: Final = Path(".tradelake")
_MARKER: Final = "tradelake.json"
_REFUSED: Final = frozenset("#?*[]\n")
"""What means something else in the location of a table or in a file pattern."""

State = Literal["running", "complete", "failed", "cut off"]
"""How far the work in a folder is; ``cut off``: its run was killed and could not say so."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of one embedded AWS."""

    root: Path

    @property
    def catalog(self) -> Path:
        """The Iceberg catalog, a SQLite file."""
        return self.root / "lake" / "catalog.db"

    @property
    def warehouse(self) -> Path:
        """Iceberg data and metadata."""
        return self.root / "lake" / "warehouse"

    @property
    def streams(self) -> Path:
        """The append logs of the stream server."""
        return self.root / "streams"

    @property
    def hot(self) -> Path:
        """The hot store, a SQLite file."""
        return self.root / "hot.db"

    @property
    def state(self) -> Path:
        """Checkpoints and status files of the function workers."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    @property
    def failures(self) -> Path:
        """What event-source mappings gave up on."""
        return self.root / "failures"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"

    def variables(self) -> dict[str, str]:
        """Environment variables of every function, job and command that works on this folder."""
        root = self.root.absolute()
        here = Layout(root)
        return {
            names.ENV_ENVIRONMENT: ENVIRONMENT,
            names.ENV_CATALOG_URI: f"sqlite:///{here.catalog}",
            names.ENV_WAREHOUSE: str(here.warehouse),
            names.ENV_ARTIFACT_BUCKET: names.physical(ENVIRONMENT, stores.ARTIFACT_BUCKET.name),
            names.ENV_HOT_STORE: f"sqlite:///{here.hot}",
        }

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other run out of the folder, and begin with an empty one.

        Marked ``failed`` when the block raises, ``complete`` when it does not.

        Raises
        ------
        ConfigError
            Another run holds it, something else is there, or it cannot be written.
        """
        descriptor = self._take_lock()
        try:
            self.prepare()
            try:
                yield
            except BaseException:
                # Where even this cannot be written, "running" without a lock says the same.
                with suppress(OSError):
                    self.mark("failed")
                raise
            self.mark("complete")
        finally:
            self._lock.unlink(missing_ok=True)
            os.close(descriptor)

    @property
    def _lock(self) -> Path:
        root = self.root.absolute()
        if set(str(root)) & _REFUSED:
            raise ConfigError(
                f"{root}: expected a path without any of {' '.join(sorted(_REFUSED))}"
            )
        if not root.name:
            raise ConfigError(f"{root} cannot be replaced; name another folder")
        return root.with_name(f"{root.name}.lock")

    def _take_lock(self) -> int:
        """Return a descriptor that holds the lock as long as it is open."""
        lock = self._lock
        while True:
            try:
                lock.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o644)
            except OSError as error:
                raise ConfigError(f"cannot write {lock}: {error.strerror or error}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise ConfigError(
                    f"{self.root} is in use by another run; name another --root"
                ) from None
            # The run before may have removed the file between our opening and locking it.
            with suppress(FileNotFoundError):
                if os.path.samestat(lock.stat(), os.fstat(descriptor)):
                    return descriptor
            os.close(descriptor)

    def _locked(self) -> bool:
        try:
            descriptor = os.open(self._lock, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def prepare(self) -> None:
        """Make an empty folder, in the place of an earlier one of ours.

        Raises
        ------
        ConfigError
            Something else is there, or the folder cannot be written.
        """
        try:
            if self.root.exists() and any(self.root.iterdir()):
                if not (self.root / _MARKER).is_file():
                    raise ConfigError(
                        f"{self.root} holds files that are not tradelake's; name another folder"
                    )
                shutil.rmtree(self.root)
            for folder in (self.root, self.logs, self.state, self.streams, self.warehouse):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot write {self.root}: {error.strerror or error}") from error
        self.mark("running")

    def mark(self, state: State) -> None:
        """Say how far the work in the folder is; replaced whole."""
        draft = self.root / f"{_MARKER}.new"
        draft.write_text(json.dumps({"state": state}))
        draft.replace(self.root / _MARKER)

    def marked(self) -> State | None:
        """Return how far the work in the folder is; None when it is not ours."""
        try:
            state: State = json.loads((self.root / _MARKER).read_text())["state"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return "cut off" if state == "running" and not self._locked() else state
