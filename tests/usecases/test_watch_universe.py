"""The watch over what a venue trades, with a venue and a store that do as told."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable

import msgspec
import pytest

from tests.functions.stores import StateInMemory
from tradelake.errors import Fatal, Throttled, TradelakeError, Transient
from tradelake.feed.subscription import Change, Subscription
from tradelake.feed.universe import Asset
from tradelake.market.records import Instrument
from tradelake.usecases.watch_universe import UniverseWatch

T0 = 1_700_000_000_000_000_000
CHANNELS = ("trades", "orderbooks")


def asset(symbol: str, number: int = 0, **changes) -> Asset:
    made = Asset(f"id-{number or symbol}", symbol, "active", True, "0.1", "0.01", "0.001")
    return msgspec.structs.replace(made, **changes)


BTC, ETH, SOL = asset("BTC/USD"), asset("ETH/USD"), asset("SOL/USD")


class Clock:
    def __init__(self) -> None:
        self.ns = T0

    def now_ns(self) -> int:
        self.ns += 1_000_000_000
        return self.ns


class Venue:
    """Answers with one after the other, then asks for the end of the run and keeps it waiting."""

    def __init__(self, *answers: list[Asset] | TradelakeError) -> None:
        self._answers = list(answers)
        self.over = threading.Event()
        self.end: Callable[[], object] = lambda: None

    def crypto_assets(self) -> list[Asset]:
        if not self._answers:
            self.end()
            self.over.wait(20)
            raise Transient("the run is over")
        answer = self._answers.pop(0)
        if isinstance(answer, TradelakeError):
            raise answer
        return answer


class Scene:
    """A store that outlives runs, and what they say and request."""

    def __init__(self, *symbols: str) -> None:
        self.states, self.clock = StateInMemory(), Clock()
        self.symbols = symbols or ("*",)
        self.said: list[Instrument] = []
        self.asked: list[Change] = []

    def watch(self, venue: Venue) -> UniverseWatch:
        subscription = Subscription(CHANNELS, self.symbols)
        return UniverseWatch(
            "us", venue, self.states, self.clock, subscription, no_wait, every_s=1e-9
        )

    def run(self, *answers: list[Asset] | TradelakeError) -> UniverseWatch:
        """One run of the ingester, stopped after the last answer was worked off."""
        self.said, self.asked = [], []
        venue = Venue(*answers)
        watch = self.watch(venue)

        async def scenario() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            venue.end = lambda: loop.call_soon_threadsafe(stop.set)
            await watch.run(self._say, self.asked.append, stop)
            venue.over.set()

        asyncio.run(asyncio.wait_for(scenario(), 20))
        return watch

    def _say(self, records, now_ns) -> None:
        self.said += records

    def events(self) -> list[tuple[str, str]]:
        return [(record.symbol, record.event) for record in self.said]


def no_wait():
    return itertools.repeat(0.0)


def adds(*symbols: str) -> Change:
    return Change(add=Subscription(CHANNELS, symbols))


def drops(*symbols: str) -> Change:
    return Change(drop=Subscription(CHANNELS, symbols))


def test_every_active_pair_is_listed_and_nothing_requested_when_nothing_was_known():
    scene = Scene()
    watch = scene.run([BTC, ETH, but(SOL, status="inactive")])
    assert scene.events() == [("BTC/USD", "listed"), ("ETH/USD", "listed")]
    assert scene.asked == []
    status = watch.status()
    assert (status.assets, status.active, status.events) == (3, 2, {"listed": 2})


def test_nothing_is_said_when_nothing_changed():
    scene = Scene()
    watch = scene.run([BTC, ETH], [ETH, BTC], [BTC, ETH])
    assert len(scene.said) == 2
    assert watch.status().refreshed_ns > T0 + 2_000_000_000


def test_a_halt_is_marked_and_leaves_the_subscription_alone():
    scene = Scene("BTC/USD")
    watch = scene.run([BTC, ETH], [but(BTC, tradable=False), ETH], [BTC, ETH])
    assert scene.events()[2:] == [("BTC/USD", "halted"), ("BTC/USD", "resumed")]
    assert scene.asked == []
    assert watch.status().events == {"listed": 2, "halted": 1, "resumed": 1}


def test_a_delisted_pair_is_unsubscribed_and_a_listed_one_subscribed():
    scene = Scene()
    scene.run([BTC, ETH], [BTC], [BTC, SOL])
    assert scene.events()[2:] == [("ETH/USD", "delisted"), ("SOL/USD", "listed")]
    assert scene.asked == [drops("ETH/USD"), adds("SOL/USD")]


def test_pairs_that_are_not_configured_are_told_and_not_requested():
    scene = Scene("BTC/USD")
    scene.run([BTC, ETH], [BTC, SOL])
    assert scene.events()[2:] == [("ETH/USD", "delisted"), ("SOL/USD", "listed")]
    assert scene.asked == []


def test_a_renamed_pair_is_followed_from_then_on():
    scene = Scene("BTC/USD")
    xbt = but(BTC, symbol="XBT/USD")
    scene.run([BTC, ETH], [xbt, ETH], [ETH])
    assert scene.asked == [
        Change(add=Subscription(CHANNELS, ("XBT/USD",)), drop=Subscription(CHANNELS, ("BTC/USD",))),
        drops("XBT/USD"),
    ]


def test_changes_are_one_request_when_many_come_at_once():
    scene = Scene()
    many = [asset(f"A{number}/USD") for number in range(50)]
    scene.run([BTC], [BTC, *many])
    (change,) = scene.asked
    assert change.add is not None
    assert len(change.add.symbols) == 50


@pytest.mark.parametrize(
    "error", [Transient("away"), Throttled("429", retry_after_s=0.0), Fatal("HTTP 403")]
)
def test_a_failing_refresh_leaves_all_as_it_is_and_is_reported(error):
    scene = Scene()
    watch = scene.run([BTC, ETH], error, [BTC])
    assert scene.events()[2:] == [("ETH/USD", "delisted")]
    assert (watch.status().failures, watch.status().error) == (1, "")
    watch = scene.run(error)
    assert watch.status().error == str(error)


def test_an_answer_without_an_active_pair_is_not_believed():
    scene = Scene()
    watch = scene.run([BTC, ETH], [], [but(BTC, status="inactive")])
    assert len(scene.said) == 2
    assert watch.status().failures == 2


def test_an_answer_most_pairs_are_gone_from_is_believed_when_said_twice():
    many = [asset(f"A{number}/USD") for number in range(10)]
    scene = Scene()
    watch = scene.run(many, many[:3], many, many[:3], many[:3])
    assert [event for _, event in scene.events()[10:]] == ["delisted"] * 7
    assert watch.status().failures == 2


def test_a_delisting_during_an_outage_is_seen_by_the_next_run():
    scene = Scene("BTC/USD", "ETH/USD")
    scene.run([BTC, ETH])
    later(scene)
    scene.run([BTC])
    assert scene.events() == [("ETH/USD", "delisted")]
    assert scene.asked == [drops("ETH/USD")]


def test_recent_records_are_said_again_as_they_were_when_a_run_begins():
    scene = Scene()
    scene.run([BTC, ETH], [BTC])
    said = list(scene.said)
    watch = scene.run([BTC])
    assert scene.said == said
    assert (scene.asked, watch.status().events) == ([], {})
    later(scene)
    scene.run([BTC])
    assert scene.said == []


def test_a_change_is_said_once_when_its_save_failed_first():
    scene = Scene()
    scene.run([BTC, ETH])
    scene.states.fail_saves = 1
    watch = scene.run([BTC], [BTC])
    assert scene.events() == [("BTC/USD", "listed"), ("ETH/USD", "listed"), ("ETH/USD", "delisted")]
    assert watch.status().failures == 1


def test_a_change_is_said_when_its_save_succeeded_and_the_answer_was_lost():
    scene = Scene()
    scene.run([BTC, ETH])
    save = scene.states.save
    lost = iter([True])

    def answer_lost(consumer, key, value, version) -> None:
        save(consumer, key, value, version)
        if next(lost, False):
            raise Transient("no answer")

    scene.states.save = answer_lost
    watch = scene.run([BTC, ETH], [BTC], [BTC])
    assert scene.events()[2:] == [("ETH/USD", "delisted")]
    assert scene.asked == [drops("ETH/USD")]
    assert watch.status().events == {"delisted": 1}


def test_both_say_the_same_record_when_two_watch_one_venue():
    scene, rival = Scene(), Scene()
    rival.states, rival.clock = scene.states, scene.clock
    scene.run([BTC, ETH])
    scene.states.before_save = lambda: rival.run([BTC])
    scene.run([BTC], [BTC])
    assert scene.said[-1] == rival.said[-1]
    assert scene.events()[-1] == ("ETH/USD", "delisted")


def test_symbols_that_are_gone_are_not_admitted_to_the_first_subscription():
    scene = Scene("BTC/USD", "ETH/USD")
    assert scene.watch(Venue([BTC])).admit(scene.symbols) == ("BTC/USD",)
    assert scene.watch(Venue([BTC])).admit(("*",)) == ("*",)


def test_all_are_admitted_when_nothing_is_known():
    scene = Scene("BTC/USD", "ETH/USD")
    watch = scene.watch(Venue(Transient("away")))
    assert watch.admit(scene.symbols) == scene.symbols
    assert watch.status().failures == 1


def test_the_last_known_universe_admits_when_the_venue_does_not_answer():
    scene = Scene("BTC/USD", "ETH/USD")
    scene.run([BTC, SOL])
    assert scene.watch(Venue(Transient("away"))).admit(scene.symbols) == ("BTC/USD",)


def test_a_renamed_symbol_is_admitted_under_its_new_name_by_later_runs():
    scene = Scene("BTC/USD")
    xbt = but(BTC, symbol="XBT/USD")
    scene.run([BTC, ETH], [xbt, ETH])
    assert scene.watch(Venue([xbt, ETH])).admit(scene.symbols) == ("XBT/USD",)
    scene.run([xbt, ETH], [BTC, ETH])
    assert scene.watch(Venue([BTC, ETH])).admit(scene.symbols) == ("BTC/USD",)


def test_a_kept_universe_is_replaced_and_counted_when_nobody_can_read_it():
    scene = Scene()
    scene.states.save("universe", "us", b"no json", 0)
    watch = scene.run([BTC])
    assert watch.status().failures == 1
    assert scene.events() == [("BTC/USD", "listed")]
    assert scene.run([BTC]).status().failures == 0


def test_a_run_ends_at_once_when_stopped_while_the_venue_is_silent():
    scene = Scene()
    assert scene.run().status().refreshed_ns == 0


def but(one: Asset, **changes) -> Asset:
    return msgspec.structs.replace(one, **changes)


def later(scene: Scene) -> None:
    """Two hours pass."""
    scene.clock.ns += 7_200_000_000_000
