"""A session played as if it happened now."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from tradelake.exchange.live import live
from tradelake.market.records import Trade

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
NOW = 1_800_000_000 * SECOND


@dataclass
class Recorded:
    start_ns: int = 1_500_000_000 * SECOND + 7
    end_ns: int = 1_500_000_000 * SECOND + 7 + 300 * SECOND
    weight: int = 300

    def ticks(self):
        for second in range(301):
            yield Trade("BTC/USD", self.start_ns + second * SECOND, 0, second, 1.0, 1.0)


@given(now_ns=st.integers(NOW, NOW + MINUTE), least_s=st.floats(1, 120), skew=st.integers(-3, 3))
def test_live_session_begins_now_and_ends_with_a_minute(now_ns, least_s, skew):
    session = live(Recorded(), least_s, now_ns, skew * 60.0)
    ticks = list(session.ticks())
    shift = skew * MINUTE
    assert session.start_ns == ticks[0].ts_event == now_ns + shift
    assert session.end_ns % MINUTE == 0
    assert least_s * SECOND - 1 <= session.end_ns - now_ns - shift < least_s * SECOND + MINUTE
    assert session.end_ns - SECOND <= ticks[-1].ts_event < session.end_ns


def test_live_session_keeps_everything_but_the_time():
    [first, *_] = live(Recorded(), 10.0, NOW).ticks()
    assert first == Trade("BTC/USD", NOW, 0, 0, 1.0, 1.0)
