"""``tradelake quarantine list | show | replay``."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import click
import msgspec

from tradelake.errors import ConfigError, InvalidData
from tradelake.usecases.replay_quarantine import Quarantined, Selection

_RULE = click.option("--rule", default="", help="Only rows of this rule.")
_SYMBOL = click.option("--symbol", default="", help="Only rows of this symbol.")
_SINCE = click.option(
    "--since", metavar="TIME", help="Only what was received from then on, ISO 8601, UTC if unsaid."
)


@click.group()
def quarantine() -> None:
    """See what broke a rule, and send it again once it passes.

    Works on the environment that the variables name; `tradelake up` prints those of its own.
    """


@quarantine.command("list")
@_RULE
@_SYMBOL
@_SINCE
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Rows shown.")
def list_rows(rule: str, symbol: str, since: str | None, limit: int) -> None:
    """List rows, a JSON line each without their bytes, in the order of receipt."""
    from tradelake.bootstrap import wire_quarantine

    selection = Selection(rule=rule, symbol=symbol, since_ns=_ns(since), limit=limit)
    for row in wire_quarantine(os.environ).rows(selection):
        click.echo(msgspec.json.encode(_shown(row)).decode())


@quarantine.command()
@click.argument("key")
def show(key: str) -> None:
    """Show the row KEY, as `list` names it, with its bytes and what they decode to today."""
    from tradelake.bootstrap import wire_quarantine
    from tradelake.usecases.replay_quarantine import revive

    for row in wire_quarantine(os.environ).rows(Selection()):
        if row.key != key:
            continue
        shown = _shown(row) | {"raw": row.raw.hex()}
        try:
            shown["records"] = [
                {"kind": type(record).__name__, **msgspec.structs.asdict(record)}
                for _, record in revive(row)
            ]
        except InvalidData as error:
            shown["unreadable"] = str(error)
        click.echo(msgspec.json.format(msgspec.json.encode(shown)).decode())
        return
    raise ConfigError(f"quarantine: no row {key!r}; `tradelake quarantine list` names them")


@quarantine.command()
@_RULE
@_SYMBOL
@_SINCE
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
def replay(rule: str, symbol: str, since: str | None, *, dry_run: bool) -> None:
    """Judge rows by today's rules; send what passes, and is not stored, to the lake.

    Ends with a JSON line: records sent by rule, already stored, still failing by today's rule.
    """
    from tradelake.bootstrap import wire_replay

    selection = Selection(rule=rule, symbol=symbol, since_ns=_ns(since))
    outcome = wire_replay(os.environ).run(selection, dry_run=dry_run)
    click.echo(msgspec.json.encode(outcome).decode())


def _shown(row: Quarantined) -> dict[str, object]:
    return {
        "key": row.key,
        "received": _text(row.ts_ingest),
        "rule": row.rule,
        "channel": row.channel,
        "symbol": row.symbol,
        "reason": row.reason,
        "bytes": len(row.raw),
    }


def _text(ts_ns: int) -> str:
    return datetime.fromtimestamp(ts_ns // 10**9, UTC).isoformat()


def _ns(text: str | None) -> int | None:
    """Return a time in ns.

    Raises
    ------
    ConfigError
        It is no ISO 8601.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"--since: expected a time like 2026-01-31T12:00; found {text}"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * 10**9
