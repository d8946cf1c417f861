"""The account must balance when all is well, and must not when anything is missing or double."""

import math

import pytest

from tests.faults.identities import Numbering, identified, quarantined_identity
from tests.faults.plain_bars import PlainBar, bars_of, differing
from tests.faults.reconcile import (
    LakeContent,
    account,
    silent_gaps,
    since_first_subscription,
    totals,
)
from tradelake.exchange.journal import Journal, Kind, Outcome, Publication, read_journal
from tradelake.market.records import Bar, BookUpdate, Quote, Trade
from tradelake.ports import OPEN, Gap
from tradelake.stream.envelope import encode_record

SECOND = 1_000_000_000
T0 = 1_700_000_000 * SECOND
WALL = 1_800_000_000 * SECOND
SYMBOL = "BTC/USD"


def bar(trades, channel="bars"):
    return Bar(SYMBOL, T0, 0, 1.0, 2.0, 1.0, 2.0, 3.0, 1.5, trades, "1m", "alpaca", channel)


def market():
    """A trade, two equal quotes, two books, and a minute in two states."""
    return [
        Trade(SYMBOL, T0, 0, 7, 100.0, 1.0),
        Quote(SYMBOL, T0 + 1, 0, 99.0, 1.0, 101.0, 1.0),
        Quote(SYMBOL, T0 + 1, 0, 99.0, 1.0, 101.0, 1.0),
        BookUpdate(SYMBOL, T0 + 2, 0, [(99.0, 1.0)], [(101.0, 1.0)], reset=True),
        BookUpdate(SYMBOL, T0 + 3, 0, [(99.0, 0.0)], []),
        bar(3),
        bar(4, "updatedBars"),
    ]


CHANNELS = ["trades", "quotes", "quotes", "orderbooks", "orderbooks", "bars", "updatedBars"]
EVERY = tuple(dict.fromkeys(CHANNELS))


def published(outcome=Outcome.DELIVERED):
    return [
        Publication(
            number,
            WALL + number,
            Kind.MARKET,
            channel,
            record,
            [] if outcome is None else [(1, outcome)],
        )
        for number, (channel, record) in enumerate(zip(CHANNELS, market(), strict=True))
    ]


def stored(publications):
    return {identity: 1 for identity, _ in identified(publications)}


def gap(opened_ns, closed_ns=OPEN, channels=EVERY, symbols=("*",)):
    return Gap("us", opened_ns, closed_ns, channels, symbols, "a test")


def sums(publications, lake, gaps=()):
    return dict(totals(account(publications, lake, gaps)))


def test_account_balances_when_everything_is_stored_once():
    found = sums(published(), LakeContent(stored(published())))
    assert found["sent"] == found["stored"] == 7
    assert found["unexplained"] == found["doubled"] == 0


@pytest.mark.parametrize("index", range(7))
def test_account_finds_a_row_that_was_deleted(index):
    rows = stored(published())
    del rows[list(rows)[index]]
    found = sums(published(), LakeContent(rows))
    assert found["unexplained"] == 1


@pytest.mark.parametrize("index", range(7))
def test_account_finds_a_row_that_is_there_twice(index):
    rows = stored(published())
    rows[list(rows)[index]] = 2
    assert sums(published(), LakeContent(rows))["doubled"] == 1


def test_account_finds_a_row_nobody_sent():
    rows = {**stored(published()), ("trades", SYMBOL, T0, 8): 1}
    assert sums(published(), LakeContent(rows))["doubled"] == 1


def test_account_finds_a_quote_stored_more_often_than_sent_unless_it_is_flagged():
    rows = stored(published())
    extra = (*list(rows)[1][:-1], 2)
    rows[extra] = 1
    assert sums(published(), LakeContent(rows))["doubled"] == 1
    flagged = LakeContent(rows, flags={extra: "duplicate"})
    assert sums(published(), flagged)["doubled"] == 0


def test_account_counts_books_of_a_gap_as_unrecoverable_and_nothing_else():
    found = sums(published(None), LakeContent({}), [gap(WALL)])
    assert found["unrecoverable"] == 2
    assert found["unexplained"] == 5


def test_account_excuses_no_book_beside_the_gap_or_of_another_symbol():
    for beside in (gap(WALL + 100), gap(WALL - 5, WALL + 2), gap(WALL, symbols=("ETH/USD",))):
        assert sums(published(None), LakeContent({}), [beside])["unrecoverable"] == 0


def test_account_counts_an_early_state_of_a_bar_as_superseded_only_inside_a_gap():
    rows = stored(published())
    early = next(identity for identity in rows if identity[0] == "bars")
    del rows[early]
    lake = LakeContent(rows, bars={(SYMBOL, "1m", T0): 4})
    assert sums(published(), lake)["unexplained"] == 1
    assert sums(published(), lake, [gap(WALL)])["superseded"] == 1
    stale = LakeContent(rows, bars={(SYMBOL, "1m", T0): 2})
    assert sums(published(), stale, [gap(WALL)])["unexplained"] == 1


def test_account_takes_a_repeated_frame_for_duplicates():
    publications = published()
    for one in publications:
        one.writes.append((1, Outcome.REPEATED))
    found = sums(publications, LakeContent(stored(publications)))
    assert (found["sent"], found["stored"], found["duplicates"]) == (14, 7, 7)


def test_account_numbers_a_standing_book_as_the_client_counts_it():
    book = market()[3]
    standing = Publication(9, WALL, Kind.STANDING, "orderbooks", book, [(2, Outcome.DELIVERED)])
    publications = [*published(), standing]
    assert len(stored(publications)) == 7
    again = Publication(10, WALL, Kind.STANDING, "orderbooks", book, [(1, Outcome.DELIVERED)])
    assert len(stored([*publications, again])) == 8


def test_account_finds_the_quarantined_by_what_the_row_holds():
    bad = Trade(SYMBOL, T0, 0, 7, math.nan, 1.0)
    publications = [Publication(0, WALL, Kind.POISON, "trades", bad, [(1, Outcome.DELIVERED)])]
    identity = quarantined_identity(encode_record(bad))
    assert identity == Numbering().identity(bad)
    assert sums(publications, LakeContent({}, quarantined={identity: 1}))["quarantined"] == 1
    unread = quarantined_identity(b'{"T":"t","S":"BTC/USD","p":"12,5","i":7}')
    assert sums(publications, LakeContent({}, quarantined={unread: 1}))["quarantined"] == 1


def test_account_finds_a_quarantine_row_that_is_there_twice():
    lake = LakeContent(stored(published()), quarantine_doubled=1)
    assert sums(published(), lake)["doubled"] == 1


def test_messages_before_the_first_subscription_are_not_asked_for():
    publications = published()
    publications[0].writes.clear()
    assert len(since_first_subscription(publications)) == 6


def test_journal_tells_again_what_was_published_and_written(tmp_path):
    journal = Journal(tmp_path / "journal")
    first = journal.published(WALL, Kind.MARKET, CHANNELS, market())
    journal.written(3, Outcome.DELIVERED, first[:2])
    journal.written(3, Outcome.REPEATED, first[:1])
    second = journal.published(WALL + 1, Kind.STANDING, ["orderbooks"], market()[3:4])
    journal.close()
    found = read_journal(tmp_path / "journal")
    assert [one.record for one in found] == [*market(), market()[3]]
    assert found[0].writes == [(3, Outcome.DELIVERED), (3, Outcome.REPEATED)]
    assert [one.delivered for one in found[:3]] == [2, 1, 0]
    assert found[second[0]].kind is Kind.STANDING


def test_journal_that_was_cut_off_tells_what_is_whole(tmp_path):
    path = tmp_path / "journal"
    journal = Journal(path)
    for number in range(3):
        journal.published(WALL + number, Kind.MARKET, CHANNELS, market())
    journal.close()
    path.write_bytes(path.read_bytes()[:-5])
    assert len(read_journal(path)) == 14


TRADES = [Trade(SYMBOL, T0 + n * SECOND // 4, 0, n, 100.0 + n % 3, 0.1) for n in range(16)]


def test_plain_bars_leave_out_those_that_are_not_whole():
    found = bars_of(TRADES, ("1s",), T0 + 1, T0 + 3 * SECOND)
    assert sorted(open_ns for _, _, open_ns in found) == [T0 + SECOND, T0 + 2 * SECOND]
    assert found[SYMBOL, "1s", T0 + SECOND] == PlainBar(
        101.0, 102.0, 100.0, 101.0, 0.4, pytest.approx(101.0), 4
    )


def test_comparison_finds_bars_that_are_missing_different_or_unexpected():
    end = T0 + 4 * SECOND
    expected = bars_of(TRADES, ("1s",), T0, end)
    assert differing(expected, expected, T0, end) == []
    first, second, *_ = expected
    one_less = {key: one for key, one in expected.items() if key != first}
    assert "missing" in differing(expected, one_less, T0, end)[0]
    assert "unexpected" in differing(one_less, expected, T0, end)[0]
    one_more = bars_of([*TRADES, TRADES[0]], ("1s",), T0, end)
    assert "different" in differing(expected, one_more, T0, end)[0]
    assert second in expected


def test_open_gap_is_silent_only_when_its_channel_said_nothing_in_it():
    told = published()
    quotes = max(one.at_ns for one in told if one.channel == "quotes")

    def gap(opened_ns, closed_ns=OPEN, symbol="*"):
        return Gap("us", opened_ns, closed_ns, ("quotes",), (symbol,), "mute")

    silent = [gap(quotes + 1), gap(quotes, symbol="ETH/USD")]
    assert silent_gaps([*silent, gap(quotes), gap(quotes + 1, quotes + 2)], told) == silent
