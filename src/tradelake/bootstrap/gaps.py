"""The gap ledger, the backfill and the rebuild of bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from tradelake.bootstrap.lake import wire_lake_catalog
from tradelake.bootstrap.stream import wire_neighbours
from tradelake.settings import load_settings

if TYPE_CHECKING:
    from tradelake.adapters.system import SystemClock
    from tradelake.ports import (
        ChannelHistory,
        Gap,
        GapLedger,
    )
    from tradelake.settings import BackfillSettings
    from tradelake.usecases.backfill import Backfilled
    from tradelake.usecases.rebuild_bars import Maintained, RebuildParts


def wire_gap_ledger(environment: str) -> GapLedger:
    """Return the gap ledger of an environment."""
    from tradelake.adapters.aws.gaps import DynamoGaps
    from tradelake.topology import names, stores

    return DynamoGaps(names.physical(environment, stores.GAPS.name))


def wire_backfill(
    env: Mapping[str, str], only: Callable[[Gap], bool] | None = None
) -> Callable[[float | None], Backfilled]:
    """Return the ``backfill`` function's work: seconds that are left in, what was done out.

    Parameters
    ----------
    env : mapping
        Settings.
    only : callable or None
        Which gaps; None: all.

    Raises
    ------
    ConfigError
        Settings or the secret are wrong.
    """
    from tradelake.adapters.aws.epochs import DynamoEpochs
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import BackfillSettings
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.backfill import STOP_EARLY_S, BackfillParts, backfill
    from tradelake.usecases.fill_plan import Margins

    settings = load_settings(env, BackfillSettings)
    clock = SystemClock()
    history, symbols = _wire_channel_history(settings, clock)
    parts = BackfillParts(
        venue=settings.venue,
        ledger=wire_gap_ledger(settings.environment),
        history=history,
        writer=KinesisWriter(names.physical(settings.environment, streams.BACKFILL.name)),
        epochs=DynamoEpochs(names.physical(settings.environment, stores.LEASES.name)),
        clock=clock,
        symbols=symbols,
        buckets=settings.buckets,
        margins=Margins(before_s=settings.fill_margin_s, after_s=settings.fill_margin_s),
        stages=lambda: (wire_neighbours(settings.quality_rules, settings.venue, live=False),),
    )

    def run(left_s: float | None) -> Backfilled:
        left_ns = None if left_s is None else round((left_s - STOP_EARLY_S) * 1e9)
        return backfill(parts, None if left_ns is None else clock.now_ns() + left_ns, only)

    return run


def wire_rebuild_parts(env: Mapping[str, str]) -> RebuildParts:
    """Return what rebuilding bars works with: the lake in, the stream of bars out."""
    from tradelake.adapters.aws.state import DynamoStateStore
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.lake.ticks import LakeTicks
    from tradelake.settings import RebuildSettings
    from tradelake.stream.aggregation import Rules
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.rebuild_bars import RebuildParts

    settings = load_settings(env, RebuildSettings)
    ticks = LakeTicks(wire_lake_catalog(env))
    return RebuildParts(
        venue=settings.venue,
        ledger=wire_gap_ledger(settings.environment),
        ticks=ticks,
        bars=KinesisWriter(names.physical(settings.environment, streams.BARS.name)),
        states=DynamoStateStore(names.physical(settings.environment, stores.CONSUMER_STATE.name)),
        clock=SystemClock(),
        rules=Rules(
            settings.timeframes(),
            round(settings.lateness_s * 1e9),
            quotes_from_ns=settings.quotes_from_ns(),
        ),
        is_delivered=ticks.is_delivered,
        whole_until_ns=ticks.whole_until_ns,
        buckets=settings.buckets,
        grace_s=settings.rebuild_grace_s,
    )


def wire_rebuild_bars(env: Mapping[str, str]) -> Callable[[float], Maintained]:
    """Return the ``rebuild_bars`` function's work: seconds that are left in, what was done out."""
    from tradelake.usecases.rebuild_bars import maintain_bars

    parts = wire_rebuild_parts(env)

    def run(left_s: float) -> Maintained:
        return maintain_bars(parts, parts.clock.now_ns() + round(left_s / 2 * 1e9))

    return run


def _wire_channel_history(
    settings: BackfillSettings, clock: SystemClock
) -> tuple[ChannelHistory, Callable[[], Sequence[str]]]:
    from tradelake.adapters.alpaca.assets import AlpacaAssets
    from tradelake.adapters.alpaca.channels import PATIENCE_S, TIMEOUTS_S, AlpacaChannels
    from tradelake.adapters.alpaca.rest import AlpacaRest
    from tradelake.adapters.aws.secrets import SecretsManager
    from tradelake.feed.subscription import EVERY_SYMBOL
    from tradelake.topology import names

    secret = SecretsManager().get(names.physical(settings.environment, names.ALPACA_SECRET))
    key, secret_key = secret.get("key", ""), secret.get("secret", "")
    rest = AlpacaRest(
        clock,
        key=key,
        secret=secret_key,
        url=settings.data_url or None,
        timeouts_s=TIMEOUTS_S,
        patience_s=PATIENCE_S,
    )

    def symbols() -> Sequence[str]:
        named = settings.symbol_list()
        if EVERY_SYMBOL not in named:
            return named
        assets = AlpacaAssets(key, secret_key, url=settings.trading_url or None)
        # a pair that was delisted since the gap has history too
        return [asset.symbol for asset in assets.crypto_assets()]

    return AlpacaChannels(settings.venue, clock, rest), symbols
