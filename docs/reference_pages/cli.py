"""The command line."""

from __future__ import annotations

import click

from tradelake.cli import cli


def cli_page() -> str:
    """Return every verb with its options."""
    parts = [
        (
            "# Command line\n\nExit codes: 0 done; 1 the work says no; 2 wrong arguments, settings"
            " or data; 130 interrupted. Whatever goes wrong is one line on standard error.\n"
        )
    ]
    commands: list[tuple[str, click.Command]] = [("tradelake", cli)]
    commands += [(f"tradelake {name}", command) for name, command in sorted(cli.commands.items())]
    for name, command in commands:
        context = click.Context(
            command, info_name=name, terminal_width=100, color=False, **cli.context_settings
        )
        parts.append(f"## `{name}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)
