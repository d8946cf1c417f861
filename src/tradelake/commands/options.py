"""What the verbs share: types of options, and what holds before a local command may start."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Final, cast

import click

from tradelake.errors import ConfigError


class Folder(click.Path):
    """A folder's path; the empty one is refused, which would mean the working directory."""

    name = "folder"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's own
        """Return the path; an empty name fails."""
        if not str(value).strip() or "\0" in str(value):
            self.fail("expected a folder, found an empty name", param, ctx)
        return super().convert(str(value), param, ctx)


class Number(click.FloatRange):
    """A finite number in a range."""

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 - click's own
        """Return the number; one that is not finite fails."""
        number = super().convert(cast("float", value), param, ctx)
        if not math.isfinite(number):
            self.fail(f"expected a finite number, found {value}", param, ctx)
        return number


FOLDER: Final = Folder()
PORT: Final = click.IntRange(0, 65535)
POSITIVE: Final = Number(0, min_open=True)
HOURS: Final = Number(0, 24 * 366, min_open=True)
NOT_NEGATIVE: Final = Number(0)
SECONDS: Final = Number()
FILE: Final = click.Path(path_type=Path, dir_okay=False)


def forget_accounts() -> None:
    """Drop what the shell says of AWS: no local command may reach, or stumble over, an account."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]


def check_recording(data: Path, root: Path) -> None:
    """Refuse a recording that cannot be played before anything is started or replaced.

    Raises
    ------
    ConfigError
        It is missing, empty or malformed, or lies in the folder that the run replaces.
    """
    from tradelake.exchange.recorded import RecordedMarket

    if data.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"{data} lies in {root}, which is replaced; name another --root")
    RecordedMarket(data)


def split(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def project_root() -> Path:
    """Return the checkout: functions and containers are its entry points, not part of the wheel.

    Raises
    ------
    ConfigError
        The package was installed without its checkout.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "functions").is_dir():
        raise ConfigError("the embedded AWS runs from a checkout: functions/ was not found")
    return root
