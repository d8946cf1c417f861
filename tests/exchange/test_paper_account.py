"""The paper account: Alpaca's rules on orders, money to the unit, the venue's changes of mind."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.exchange.paper_account import SECOND, T0, Desk
from tradelake.errors import InvalidData
from tradelake.exchange.paper.asks import ReplaceBody
from tradelake.exchange.paper.refusals import Refused


def test_a_market_buy_pays_the_ask_and_its_fee_in_the_asset_received() -> None:
    desk = Desk()
    desk.quote(99_990.0, 100_000.0)
    order = desk.place("buy", "0.5")
    assert (order.status, order.average_price) == ("filled", Decimal(100_000))
    assert desk.held() == Decimal("0.5") - Decimal("0.00125")  # 25 bps of what arrives
    assert desk.account.figures().cash == Decimal(50_000)
    assert desk.events() == [("new", "new"), ("fill", "filled")]
    kinds = [one.kind for one in desk.account.blotter.activities]
    assert kinds == ["FILL", "CFEE"]
    assert desk.account.blotter.activities[1].body["qty"] == "-0.00125"


def test_a_sell_pays_its_fee_in_cash_and_everything_is_accounted_for() -> None:
    desk = Desk()
    desk.quote(99_990.0, 100_000.0)
    desk.place("buy", "0.5")
    held = desk.held()
    desk.quote(110_000.0, 110_001.0)
    order = desk.close("BTCUSD")
    proceeds = held * 110_000
    assert order.quantity == order.filled_quantity == held
    assert desk.account.figures().cash == 50_000 + proceeds - round(proceeds * Decimal("0.0025"), 8)
    assert desk.account.positions() == []
    assert desk.account.figures().equity == desk.account.figures().cash


def test_a_resting_limit_fills_as_a_maker_when_the_market_comes_to_it() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    order = desk.place("buy", "2", limit="99")
    assert order.status == "new"
    assert desk.account.figures().available == Decimal(100_000 - 198)
    desk.quote(98.0, 99.0)
    assert (order.status, order.average_price) == ("filled", Decimal(99))
    assert desk.held() == 2 - 2 * Decimal("0.0015")
    assert desk.events() == [("new", "new"), ("fill", "filled")]


def test_an_order_fills_in_parts_when_less_is_displayed() -> None:
    desk = Desk("quotes")
    desk.quote(99.0, 100.0, size=1.5)
    order = desk.place("buy", "4")
    assert (order.status, order.filled_quantity) == ("partially_filled", Decimal("1.5"))
    desk.quote(99.0, 101.0, size=5.0)
    assert (order.status, order.average_price) == ("filled", Decimal("100.625"))
    told = desk.account.blotter.updates()
    assert [u.event for u in told] == ["new", "partial_fill", "fill"]
    assert [u.quantity for u in told] == [None, Decimal("1.5"), Decimal("2.5")]
    assert told[1].order["filled_qty"] == "1.5"
    assert told[2].position == desk.held()


def test_displayed_size_counts_for_nothing_when_matching_is_as_on_paper() -> None:
    desk = Desk("paper", seed=1)
    desk.quote(99.0, 100.0, size=0.001)
    assert desk.place("buy", "4").filled_quantity > 1


def test_one_fill_in_ten_is_cut_when_matching_is_as_on_paper() -> None:
    desk = Desk("paper", cash="9000000")
    desk.quote(0.99, 1.0)
    cut = 0
    for _ in range(400):
        cut += desk.place("buy", "10").status == "partially_filled"
        desk.quote(0.99, 1.0)
    assert 20 <= cut <= 62  # 40 in the mean, 6 its deviation


def test_the_rest_is_cancelled_when_an_order_is_ioc() -> None:
    desk = Desk("quotes")
    desk.quote(99.0, 100.0, size=1.5)
    order = desk.place("buy", "4", tif="ioc")
    assert (order.status, order.filled_quantity) == ("canceled", Decimal("1.5"))
    assert [event for event, _ in desk.events()] == ["new", "partial_fill", "canceled"]


def test_a_stop_limit_waits_for_its_stop() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1")
    order = desk.place("sell", "0.5", limit="94", stop="95")
    desk.quote(96.0, 97.0)
    assert order.status == "new"
    desk.quote(94.5, 95.5)
    assert (order.status, order.average_price) == ("filled", Decimal("94.5"))


def test_a_notional_buys_as_much_as_it_pays_for() -> None:
    desk = Desk()
    desk.quote(2_999.0, 3_000.0, symbol="ETH/USD", size=1e6)
    order = desk.place("buy", notional="100", symbol="ETH/USD")
    assert order.filled_quantity == Decimal("0.033333333")
    assert order.body()["qty"] is None
    assert order.body()["notional"] == "100"


def test_a_replacement_takes_the_place_of_an_order_that_works() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    order = desk.place("buy", "2", limit="90", client_order_id="mine")
    other = desk.account.replace(order.order_id, ReplaceBody(limit_price=Decimal(91)))
    assert (order.status, order.replaced_by) == ("replaced", other.order_id)
    assert (other.replaces, other.quantity) == (order.order_id, Decimal(2))
    assert other.client_order_id not in ("", "mine")
    assert desk.account.figures().available == Decimal(100_000 - 182)
    desk.quote(90.0, 91.0)
    assert other.status == "filled"
    with pytest.raises(Refused, match='already in "replaced" state'):
        desk.account.replace(order.order_id, ReplaceBody(limit_price=Decimal(92)))


def test_an_order_stays_when_what_shall_replace_it_is_refused() -> None:
    desk = Desk(cash="1000")
    desk.quote(100.0, 101.0)
    order = desk.place("buy", "2", limit="90")
    with pytest.raises(Refused, match="40310000: insufficient balance for USD"):
        desk.account.replace(order.order_id, ReplaceBody(qty=Decimal(50)))
    assert order.status == "new"
    assert desk.account.figures().available == Decimal(820)


def test_a_cancel_ends_an_order_and_frees_what_it_promised() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    order = desk.place("buy", "2", limit="90")
    desk.account.cancel(order.order_id)
    assert order.status == "canceled"
    assert order.body()["canceled_at"] is not None
    assert desk.account.figures().available == Decimal(100_000)
    with pytest.raises(Refused, match='already in "canceled" state'):
        desk.account.cancel(order.order_id)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"qty": "2000"}, "40310000: insufficient balance for USD .requested: 202000, available"),
        ({"qty": "0.0000001"}, "40310000: cost basis must be >= minimal amount of order 1$"),
        ({"qty": "1", "side": "sell"}, "40310000: insufficient balance for BTC .requested: 1, av"),
        ({"qty": "1", "limit": "90.0000000001"}, "42210000: price is not a multiple"),
        ({"qty": "3000", "limit": "90"}, "40310000: order notional must be <= 200000"),
        ({"notional": "300000"}, "40310000: order notional must be <= 200000"),
        ({"qty": "1", "symbol": "ETH/BTC"}, "42210000: the account holds USD; ETH/BTC is not"),
        ({"qty": "1", "symbol": "ETH/USD"}, "42210000: no price is known of ETH/USD yet"),
        ({"qty": "1", "client_order_id": "taken"}, "40010001: client_order_id must be unique"),
    ],
)
def test_an_order_is_refused_as_alpaca_does(order: dict[str, Any], said: str) -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1", limit="50", client_order_id="taken")
    before = desk.account.figures()
    with pytest.raises(Refused, match=said):
        desk.place(**({"side": "buy"} | order))
    assert desk.account.figures() == before
    assert len(desk.account.blotter.orders()) == 1


def test_new_orders_are_refused_and_working_ones_wait_when_trading_halts() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    waiting = desk.place("buy", "1", limit="95")
    desk.listing.halt("BTC/USD")
    with pytest.raises(Refused, match="asset BTC/USD is not tradable"):
        desk.place("buy", "1")
    desk.quote(90.0, 91.0)
    assert waiting.status == "new"
    desk.listing.resume("BTC/USD")
    desk.quote(90.0, 91.0)
    assert waiting.status == "filled"
    assert desk.place("buy", "1").status == "filled"


def test_positions_are_closed_and_orders_cancelled_when_an_asset_is_delisted() -> None:
    desk = Desk()
    desk.quote(100.0, 100.0)
    desk.place("buy", "1")
    held = desk.held()
    resting = desk.place("buy", "1", limit="50")
    desk.events()
    desk.listing.delist("BTC/USD")
    assert resting.status == "canceled"
    assert desk.held() == 0
    fee = round(held * 100 * Decimal("0.0025"), 8)
    assert desk.account.figures().cash == 99_900 + held * 100 - fee
    assert sorted(desk.events()) == [("canceled", "canceled"), ("fill", "filled")]
    closing = desk.account.blotter.orders()[-1]
    assert (closing.side, closing.status, closing.quantity) == ("sell", "filled", held)
    with pytest.raises(Refused, match="asset BTC/USD is not active"):
        desk.place("buy", "1")


def test_position_and_orders_go_on_under_the_new_name_when_an_asset_is_renamed() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1")
    resting = desk.place("buy", "1", limit="90")
    desk.listing.rename("BTC/USD", "XBT/USD")
    desk.quote(89.0, 90.0, symbol="XBT/USD")
    assert resting.status == "filled"
    assert [one.body()["symbol"] for one in desk.account.positions()] == ["XBTUSD"]


def test_increments_that_change_count_for_the_next_order() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1", limit="90.25")
    desk.listing.change("BTC/USD", {"price_increment": "0.5"})
    with pytest.raises(Refused, match="price is not a multiple"):
        desk.place("buy", "1", limit="90.25")
    assert desk.place("buy", "1", limit="90.5").status == "new"


def test_a_change_is_refused_when_its_terms_are_no_numbers() -> None:
    desk = Desk()
    with pytest.raises(InvalidData, match="expected price_increment of 0 or more; found 'x'"):
        desk.listing.change("BTC/USD", {"price_increment": "x"})


def test_the_smallest_order_grows_on_its_day() -> None:
    desk = Desk()
    desk.now_ns = 1_787_616_000_000_000_000 - 2 * SECOND  # 2026-08-25
    desk.quote(100.0, 101.0)
    desk.place("buy", notional="5")
    desk.quote(100.0, 101.0, after_s=10)
    with pytest.raises(Refused, match="minimal amount of order 10"):
        desk.place("buy", notional="5")


def test_fees_fall_on_the_day_after_a_tier_was_reached() -> None:
    desk = Desk("paper", cash="10000000", seed=1)
    desk.quote(99_999.0, 100_000.0)
    desk.place("buy", "1.5")
    desk.quote(99_999.0, 100_000.0, after_s=86_400)
    before = desk.held()
    order = desk.place("buy", "0.1")
    desk.quote(99_999.0, 100_000.0)
    assert order.status == "filled"
    assert desk.held() - before == Decimal("0.1") * (1 - Decimal("0.0022"))


def test_equity_of_the_day_before_is_kept() -> None:
    desk = Desk("quotes")
    desk.quote(100.0, 100.0)
    desk.place("buy", "1")
    desk.quote(120.0, 120.0)
    figures = desk.account.figures
    desk.account.begin(desk.now_ns)
    evening = figures().equity
    desk.quote(200.0, 200.0, after_s=86_400)
    desk.account.begin(desk.now_ns)
    assert figures().last_equity == evening
    assert figures().equity > evening


def test_time_stands_still_when_the_market_goes_back() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1", limit="90")
    desk.now_ns = T0 - 86_400 * SECOND
    desk.quote(95.0, 96.0)
    order = desk.place("buy", "1")
    assert order.average_price == Decimal(96)
    assert order.created_ns > T0


@pytest.mark.parametrize(
    "quote",
    [(0.0, 101.0), (float("nan"), 101.0), (100.0, float("inf")), (102.0, 101.0), (-5.0, 101.0)],
)
def test_a_quote_without_honest_prices_fills_nothing_it_does_not_show(
    quote: tuple[float, float],
) -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    order = desk.place("buy", "1", limit="90")
    desk.quote(*quote)
    assert order.status == "new"
    desk.quote(89.0, 90.0)
    assert order.status == "filled"


def test_a_close_is_refused_when_orders_promise_what_is_held() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1")
    desk.place("sell", "0.5", limit="150")
    with pytest.raises(Refused, match="insufficient balance for BTC"):
        desk.close("BTC/USD")
    assert desk.close("BTC/USD", share="0.25").status == "filled"
    with pytest.raises(Refused, match="position does not exist"):
        desk.close("ETH/USD")


def test_a_trade_through_a_limit_fills_it_when_trades_count() -> None:
    desk = Desk("quotes")
    desk.quote(100.0, 101.0)
    order = desk.place("buy", "1", limit="99")
    desk.trade(98.5, 0.25)
    assert (order.status, order.filled_quantity) == ("partially_filled", Decimal("0.25"))


def test_memory_is_bounded_when_a_resting_order_sees_the_market_go_by() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1", limit="50")
    for step in range(3_000):
        desk.quote(100.0 + step % 5, 106.0)
    assert len(desk.account._market.machine.market.tape) < 200


def test_open_orders_are_shown_under_the_new_name_when_an_asset_is_renamed() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    ended = desk.place("buy", "1")
    resting = desk.place("buy", "1", limit="90")
    desk.listing.rename("BTC/USD", "XBT/USD")
    assert (ended.body()["symbol"], resting.body()["symbol"]) == ("BTC/USD", "XBT/USD")


def test_a_rename_into_another_currency_is_refused_when_the_pair_was_traded() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1")
    with pytest.raises(InvalidData, match="expected a pair quoted in USD"):
        desk.listing.rename("BTC/USD", "BTC/EUR")
    assert desk.close("BTC/USD").status == "filled"


def test_a_share_of_a_position_is_closed_when_the_venue_says_no_increment() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1")
    desk.listing.change("BTC/USD", {"min_trade_increment": "0"})
    assert desk.close("BTC/USD", share="0.5").filled_quantity == Decimal("0.49875")


def test_an_increment_may_grow_again_when_it_was_finer_than_most() -> None:
    desk = Desk(cash="1e9")
    desk.listing.change("BTC/USD", {"min_trade_increment": "1e-12"})
    desk.quote(0.99e9, 1e9)
    desk.place("buy", notional="100")
    desk.listing.change("BTC/USD", {"min_trade_increment": "1e-9"})
    assert desk.held() == Decimal("9.975e-8")
    with pytest.raises(InvalidData, match="same unit"):
        desk.listing.change("BTC/USD", {"min_trade_increment": "1e-15"})
    listed = desk.listing.find("BTC/USD")
    assert listed is not None
    assert listed.min_trade_increment == "1e-9"


def test_what_is_left_of_a_notional_is_a_quantity_when_it_is_replaced() -> None:
    desk = Desk()
    desk.quote(99.0, 100.0, size=0.25)
    order = desk.place("buy", notional="100", limit="100")
    other = desk.account.replace(order.order_id, ReplaceBody(limit_price=Decimal("99.5")))
    assert (other.body()["notional"], other.body()["qty"]) == (None, "0.75")
    desk.quote(99.0, 99.5)
    assert (other.status, other.filled_quantity) == ("filled", Decimal("0.75"))


def test_a_symbol_first_traded_is_filled_at_what_was_published_last_when_time_went_back() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.now_ns = T0 - 86_400 * SECOND
    desk.quote(200.0, 201.0)
    assert desk.place("buy", "1").average_price == Decimal(201)


def test_account_and_positions_are_told_however_absurd_a_price_is() -> None:
    desk = Desk()
    desk.quote(100.0, 101.0)
    desk.place("buy", "1")
    desk.quote(1e300, 1e300)
    desk.account.begin(desk.now_ns)
    assert float(desk.account.figures().body()["equity"]) > 1e299
    assert float(desk.account.positions()[0].body()["unrealized_pl"]) > 1e299
