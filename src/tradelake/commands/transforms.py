"""``tradelake transforms``: which transforms of the user's would run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tradelake.topology import names


@click.command()
@click.option(
    "--modules",
    envvar=names.ENV_TRANSFORMS,
    default="",
    help=f"Modules, comma-separated; by default what {names.ENV_TRANSFORMS} says.",
)
def transforms(modules: str) -> None:
    """List the transforms that the modules register: name, channel, symbols.

    Modules are looked for in the working directory too. Exits 2 when one cannot be used.
    """
    from tradelake.transforms import load

    sys.path.append(str(Path.cwd()))
    for one in load(modules):
        click.echo(f"{one.name}\t{one.channel}\t{','.join(sorted(one.symbols)) or '*'}")
