"""What a venue trades, and what changed between two looks at it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tradelake.market.records import Instrument, InstrumentEvent

ACTIVE: Final = "active"
INACTIVE: Final = "inactive"


class Asset(msgspec.Struct, frozen=True):
    """A pair as the venue lists it.

    Parameters
    ----------
    asset_id : str
        The venue's own id: it stays when the symbol changes. Empty where there is none.
    symbol : str
        Pair, for instance ``BTC/USD``.
    status : str
        ``active`` or ``inactive``.
    tradable : bool
        Whether orders are accepted.
    min_order_size, min_trade_increment, price_increment : str
        Decimals as the venue wrote them; empty where it says nothing.
    """

    asset_id: str
    symbol: str
    status: str
    tradable: bool
    min_order_size: str = ""
    min_trade_increment: str = ""
    price_increment: str = ""

    @property
    def active(self) -> bool:
        """Whether the venue has data of it."""
        return self.status == ACTIVE


def diff(before: Iterable[Asset], after: Iterable[Asset], now_ns: int) -> list[Instrument]:
    """Return what changed, one record an asset, sorted by the symbol it concerns.

    An asset is followed by its id, and where the id is new, by its symbol. ``renamed`` is a record
    of the old symbol, followed by ``listed`` of the new one. A record carries all the venue says
    now, so an asset that was halted and got another increment at once has one record, ``halted``.
    What is inactive and was, or never was known, has none.

    Parameters
    ----------
    before, after : iterable of Asset
        Where a symbol appears twice, the active one counts.
    now_ns : int
        When ``after`` was asked for, ns since 1970 UTC: the venue does not say when it changed.

    >>> bitcoin = Asset("1", "BTC/USD", "active", True)
    >>> [event.event for event in diff([], [bitcoin], 1)]
    ['listed']
    >>> halted = Asset("1", "BTC/USD", "active", False)
    >>> [(event.symbol, event.event) for event in diff([bitcoin], [halted], 1)]
    [('BTC/USD', 'halted')]
    """
    known, found = _by_symbol(before), _by_symbol(after)
    by_id = {asset.asset_id: asset for asset in found.values() if asset.asset_id}
    ids_before = {asset.asset_id for asset in known.values() if asset.asset_id}
    events: list[Instrument] = []
    followed: set[str] = set()
    for symbol, old in sorted(known.items()):
        new = by_id.get(old.asset_id)
        if new is None:
            new = found.get(symbol)
            if new is not None and new.asset_id in ids_before:
                new = None
        if new is None or not new.active:
            if new is not None:
                followed.add(new.symbol)
            if old.active:
                events.append(_gone(old, new, now_ns))
        elif new.symbol != symbol:
            if old.active:
                events.append(_record(new, "renamed", now_ns, symbol=symbol, renamed_to=new.symbol))
        else:
            followed.add(symbol)
            event = _change(old, new)
            if event is not None:
                events.append(_record(new, event, now_ns))
    events += [
        _record(asset, "listed", now_ns)
        for symbol, asset in found.items()
        if symbol not in followed and asset.active
    ]
    return sorted(events, key=lambda event: (event.symbol, event.event != "renamed"))


def subscribable(symbols: Sequence[str], assets: Iterable[Asset]) -> tuple[str, ...]:
    """Return those of the symbols that the venue has data of, in their order.

    A venue refuses a whole subscription because of one symbol it does not know.

    >>> subscribable(["BTC/USD", "GONE/USD"], [Asset("1", "BTC/USD", "active", False)])
    ('BTC/USD',)
    """
    active = {asset.symbol for asset in assets if asset.active}
    return tuple(symbol for symbol in symbols if symbol in active)


def _by_symbol(assets: Iterable[Asset]) -> dict[str, Asset]:
    found: dict[str, Asset] = {}
    for asset in assets:
        if asset.symbol not in found or asset.active:
            found[asset.symbol] = asset
    return found


def _change(old: Asset, new: Asset) -> InstrumentEvent | None:
    """What happened to an asset that is active now, under the same symbol."""
    if not old.active:
        return "listed"
    if old.tradable != new.tradable:
        return "resumed" if new.tradable else "halted"
    terms = [
        (asset.min_order_size, asset.min_trade_increment, asset.price_increment)
        for asset in (old, new)
    ]
    return None if terms[0] == terms[1] else "changed"


def _gone(old: Asset, new: Asset | None, now_ns: int) -> Instrument:
    last = msgspec.structs.replace(old if new is None else new, status=INACTIVE, tradable=False)
    return _record(last, "delisted", now_ns, symbol=old.symbol)


def _record(
    asset: Asset,
    event: InstrumentEvent,
    now_ns: int,
    *,
    symbol: str | None = None,
    renamed_to: str = "",
) -> Instrument:
    return Instrument(
        asset.symbol if symbol is None else symbol,
        now_ns,
        now_ns,
        event,
        asset.status,
        asset.tradable,
        asset.min_order_size,
        asset.min_trade_increment,
        asset.price_increment,
        renamed_to,
    )
