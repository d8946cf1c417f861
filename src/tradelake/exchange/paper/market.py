"""The matching core behind the paper account: symbols as they are traded, ticks as they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tradelake.exchange.assets import ListedAsset
from tradelake.exchange.paper.matching import BROKER, Matching, tape_of, tick_rows
from tradelake.exchange.publication import Message
from tradelake.exchange.tape import Tape
from tradelake.exchange.wire import MarketRecord
from tradelake.execution.broker import terms
from tradelake.execution.instruments import InstrumentHistory, InstrumentTerms
from tradelake.execution.state import Record, Rows
from tradelake.execution.terms import Rung, Trading
from tradelake.market.channels import BARS, QUOTES, TRADES
from tradelake.market.records import Bar, Quote, Trade

if TYPE_CHECKING:
    from tradelake.execution.tick_machine import TickMachine

_TOP_ONLY: Final = 1
_DEEPEST: Final = 1024


class PaperMarket:
    """A machine that hears of a symbol when it is first traded, and of the market since.

    While no order works, only the newest quote and trade of each symbol are kept, and matched when
    somebody asks: an account that does nothing costs next to nothing.

    Parameters
    ----------
    matching : Matching
        How orders are filled.
    cash : int
        At the start, cash units.
    tape : Tape
        What was published before a symbol was traded.
    seed : int
        Of random partial fills.
    """

    def __init__(self, matching: Matching, cash: int, tape: Tape, seed: int) -> None:
        self._matching = matching
        self._cash = cash
        self._tape = tape
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self._assets: list[ListedAsset] = []
        self._prices: list[float] = []
        self._newest: dict[tuple[int, str], list[tuple[Any, ...]]] = {}
        self._machine: TickMachine | None = None
        self.now_ns = 0

    @property
    def machine(self) -> TickMachine:
        """The core; there is one once a symbol is known."""
        assert self._machine is not None
        return self._machine

    @property
    def assets(self) -> Sequence[ListedAsset]:
        """Those that were traded, by number, as they are listed now."""
        return self._assets

    @property
    def idle(self) -> bool:
        """Whether no order works or is on its way."""
        if self._machine is None:
            return True
        counters = self._machine.state.counters[0]
        return bool(counters["live"] + counters["sent"] == 0)

    @property
    def changes(self) -> int:
        """How many fills, rejects and ends there were."""
        return 0 if self._machine is None else int(self._machine.state.counters["changes"][0])

    def number(self, asset: ListedAsset) -> int | None:
        """Return the number of an asset in the core; None where it was never traded."""
        return self._numbers.get(asset.asset_id)

    def unit(self, number: int) -> Decimal:
        """Return how many base units one unit of quantity is."""
        return Decimal(repr(float(self.machine.state.positions["unit"][number])))

    def step(self, asset: ListedAsset) -> Decimal:
        """Return the increment of quantities of an asset that was traded, base units."""
        number = self._numbers[asset.asset_id]
        return int(self.machine.state.symbols["increment"][number]) * self.unit(number)

    def ask(self, number: int) -> float:
        """Return the lowest price that is asked now, quote units; NaN where none is."""
        return float(self.machine.market.rows["ask"][number])

    def order(self, row: int) -> Record:
        """Return an order's row."""
        return self.machine.orders[row]

    def pass_time(self, now_ns: int) -> None:
        """Go on to an instant; time never goes back. What was kept back is matched."""
        self.now_ns = max(self.now_ns, now_ns)
        kept, self._newest = self._newest, {}
        self._match([row for rows in kept.values() for row in rows])
        self.settle()

    def settle(self) -> None:
        """Let what was sent come to the venue."""
        if self._machine is not None:
            self._machine.finish(self.now_ns)

    def observe(self, messages: Sequence[Message]) -> bool:
        """Take what was published; return whether any of it was matched."""
        channels, numbers = self._matching.channels, self._by_symbol()
        keep = self.idle and self._matching.rung < Rung.BOOK
        rows: list[tuple[Any, ...]] = []
        for message in messages:
            channel, symbol = message.key
            number = numbers.get(symbol)
            if number is None or channel not in channels:
                continue
            self.now_ns = max(self.now_ns, message.at_ns)
            told = tick_rows(message.record, number, self.now_ns)
            if not keep:
                rows += told
            elif told:
                self._newest.pop((number, channel), None)
                self._newest[number, channel] = told  # in order of arrival
        self._match(rows)
        return bool(rows)

    def know(self, asset: ListedAsset, hint: Decimal | None) -> int | None:
        """Return the number of an asset, new to the core or not; None where it has no price.

        Parameters
        ----------
        asset : ListedAsset
            As it is listed.
        hint : Decimal or None
            A price to go by where nothing was published.
        """
        if asset.asset_id in self._numbers:
            return self._numbers[asset.asset_id]
        price = self._price(asset.symbol)
        price = float(hint) if price is None and hint is not None else price
        if price is None or not price > 0.0:
            return None
        number = len(self._assets)
        rows = self._rows(asset, price, number, 0)
        if self._machine is None:
            from tradelake.execution.tick_machine import TickMachine  # brings the compiler

            levels = _DEEPEST if self._matching.rung == Rung.BOOK else _TOP_ONLY
            told = terms(BROKER, self._matching.costs, self._matching.rung, self._seed)
            self._machine = TickMachine([asset.asset_id], rows, told, self._cash, levels)
        else:
            self._machine.announce(rows, [asset.asset_id])
        self._numbers[asset.asset_id] = number
        self._assets.append(asset)
        self._prices.append(price)
        shown = self._shown(asset.symbol)
        if shown is not None:
            self._match(tick_rows(shown, number, self.now_ns))
        return number

    def change(self, asset: ListedAsset) -> None:
        """Take down what the venue says of an asset from now on: halts, terms, its name.

        Raises
        ------
        InvalidData
            An increment is finer than the core counts quantities of it.
        """
        number = self._numbers.get(asset.asset_id)
        if number is None:
            return
        self.pass_time(self.now_ns)
        self.now_ns += 1  # terms of one asset change at instants of their own
        self.machine.announce(self._rows(asset, self._prices[number], number, self.now_ns))
        self._assets[number] = asset
        self.settle()

    def _rows(self, asset: ListedAsset, price: float, number: int, from_ns: int) -> Rows:
        """Return what is in force from an instant on, and the minima that follow by date."""
        if asset.active:
            trading = Trading.OPEN if asset.tradable else Trading.HALTED
        else:
            trading = Trading.DELISTED
        told = InstrumentTerms(
            0,
            Decimal(asset.min_order_size),
            Decimal(asset.min_trade_increment),
            Decimal(asset.price_increment),
            trading,
        )
        before = [replace(told, min_trade_increment=self.unit(number))] if from_ns else []
        told = replace(told, from_ns=len(before))  # what was counted finely before still is
        history = InstrumentHistory().with_symbol(asset.symbol, *before, told)
        rows = BROKER.instruments(history, [asset.symbol], [price])
        in_force = int((rows["from_ns"] <= max(from_ns, self.now_ns)).sum()) - 1
        rows = rows[in_force:]
        rows["from_ns"][0], rows["symbol"] = from_ns, number
        return rows

    def _by_symbol(self) -> dict[str, int]:
        return {asset.symbol: number for number, asset in enumerate(self._assets)}

    def _match(self, rows: list[tuple[Any, ...]]) -> None:
        if not rows:
            return
        machine = self.machine
        first = machine.forgotten + len(machine.market.tape)
        machine.append(tape_of(rows))
        machine.advance(first, first + len(rows), stops=False)
        machine.forget(first + len(rows))

    def _shown(self, symbol: str) -> MarketRecord | None:
        if self._matching.rung == Rung.BOOK:
            return self._tape.book(symbol)
        return self._tape.newest(QUOTES, symbol)

    def _price(self, symbol: str) -> float | None:
        """Return a price the symbol had lately, for the unit its quantities are counted in."""
        for channel in (QUOTES, TRADES, BARS):
            match self._tape.newest(channel, symbol):
                case Quote(bid=bid, ask=ask) if bid > 0.0 and ask > 0.0:
                    return (bid + ask) / 2.0
                case Trade(price=price) if price > 0.0:
                    return price
                case Bar(close=close) if close > 0.0:
                    return close
        book = self._tape.book(symbol)
        return book.asks[0][0] if book is not None and book.asks else None
