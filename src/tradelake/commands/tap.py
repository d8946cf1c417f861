"""Verbs of the live tap."""

from __future__ import annotations

import asyncio
import sys

import click
import msgspec

from tradelake.market.channels import CHANNELS, INSTRUMENTS, SNAPSHOTS
from tradelake.market.records import Record, channel_of
from tradelake.topology.names import ENV_TAP_URL

_OFFERED = (*CHANNELS, SNAPSHOTS, INSTRUMENTS)


@click.command()
@click.argument("symbols", nargs=-1)
@click.option(
    "--url",
    envvar=ENV_TAP_URL,
    show_envvar=True,
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The ingester's endpoint; `tradelake up` prints the one of the embedded AWS.",
)
@click.option(
    "--channel", "channels", multiple=True, type=click.Choice(_OFFERED), help="Repeatable."
)
@click.option("--limit", type=click.IntRange(1), help="End after so many records.")
def tap(symbols: tuple[str, ...], url: str, channels: tuple[str, ...], limit: int | None) -> None:
    """Show live records of SYMBOLS (none: all), a JSON line each, as the ingester receives them.

    Records are validated. Whoever reads too slowly misses the oldest: a line {"missed": n} says so.
    """
    asyncio.run(_show(symbols, url, channels, limit))


async def _show(
    symbols: tuple[str, ...], url: str, channels: tuple[str, ...], limit: int | None
) -> None:
    from tradelake.live import subscribe

    shown = 0
    async with subscribe(url, symbols, channels) as live:
        async for message in live:
            if message.missed:
                sys.stdout.write(f'{{"missed": {message.missed}}}\n')
            for record in message.records:
                sys.stdout.write(_line(message.venue, record))
                shown += 1
                if shown == limit:
                    return
            sys.stdout.flush()


def _line(venue: str, record: Record) -> str:
    fields = {"venue": venue, "channel": channel_of(record), **msgspec.structs.asdict(record)}
    return msgspec.json.encode(fields).decode() + "\n"
