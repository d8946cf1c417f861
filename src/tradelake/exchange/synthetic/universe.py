"""The pairs a synthetic market can have, with plausible prices and liquidity."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np

from tradelake.errors import ConfigError, InvalidData
from tradelake.market.symbols import parse_symbol

_PRICED: Final = {
    "BTC": 104_000.0,
    "ETH": 2_550.0,
    "SOL": 155.0,
    "XRP": 2.18,
    "DOGE": 0.192,
    "LTC": 88.5,
    "LINK": 13.9,
    "AVAX": 20.6,
    "BCH": 405.0,
    "UNI": 6.35,
    "AAVE": 262.0,
    "DOT": 4.02,
    "SHIB": 0.0000129,
    "MKR": 1_640.0,
    "CRV": 0.66,
    "GRT": 0.092,
    "BAT": 0.136,
    "SUSHI": 0.64,
    "XTZ": 0.57,
    "YFI": 5_230.0,
}
_OTHERS: Final = """
ADA TRX TON NEAR ICP APT ARB OP SUI SEI INJ ATOM FIL HBAR VET ALGO XLM ETC EOS FTM SAND MANA AXS
GALA ENJ CHZ FLOW THETA EGLD KAVA ZEC DASH XMR NEO QTUM ONT ICX ZIL IOTA WAVES KSM COMP SNX ZRX
BAL LRC KNC BNT REN UMA RLC OMG STORJ ANKR SKL CELO NMR BAND OCEAN FET AGIX RNDR LPT AUDIO MASK
ENS DYDX GMX RPL LDO SSV PENDLE CVX FXS STG MAGIC IMX BLUR APE PEPE BONK WIF FLOKI JUP PYTH JTO
RAY ORCA TIA STRK MANTA ALT DYM PIXEL PORTAL AEVO ETHFI ENA W TAO AR STX CFX MINA ROSE GLMR ASTR
CKB KDA XDC HNT IOTX CSPR DCR SC RVN
"""
UNIVERSE: Final = tuple(f"{base}/USD" for base in (*_PRICED, *_OTHERS.split()))
"""Known pairs by decreasing liquidity."""


@dataclass(frozen=True, slots=True)
class Instrument:
    """How one pair behaves.

    Parameters
    ----------
    symbol : str
        The pair.
    price : float
        Where the playback starts, USD.
    decimals : int
        Decimals of its prices; a tick is ``10 ** -decimals``.
    daily_volatility : float
        Standard deviation of a day's log return.
    common : float
        Share of its variance that is the market's, in (0, 1).
    spread_bps : float
        Usual spread.
    quotes_per_minute, trades_per_minute : float
        Means.
    trade_usd : float
        Median value of a trade.
    """

    symbol: str
    price: float
    decimals: int
    daily_volatility: float
    common: float
    spread_bps: float
    quotes_per_minute: float
    trades_per_minute: float
    trade_usd: float


def instruments(chosen: int | tuple[str, ...], activity: float) -> tuple[Instrument, ...]:
    """Instruments by number or by name; their traits depend on the name and its rank alone.

    Raises
    ------
    ConfigError
        More than there are, none, or a name that is no pair.
    """
    if isinstance(chosen, int):
        if not 1 <= chosen <= len(UNIVERSE):
            raise ConfigError(
                f"synthetic market: expected 1 to {len(UNIVERSE)} symbols; found {chosen}"
            )
        chosen = UNIVERSE[:chosen]
    if not chosen or len(set(chosen)) != len(chosen):
        raise ConfigError(f"synthetic market: expected distinct symbols; found {chosen}")
    try:
        return tuple(_instrument(parse_symbol(symbol), activity) for symbol in chosen)
    except InvalidData as error:
        raise ConfigError(f"synthetic market: {error}") from error


def _instrument(symbol: str, activity: float) -> Instrument:
    rank = UNIVERSE.index(symbol) + 1 if symbol in UNIVERSE else len(UNIVERSE)
    traits = np.random.default_rng(zlib.crc32(symbol.encode()))
    drawn = float(np.exp(traits.uniform(np.log(0.02), np.log(60.0))))
    price = _PRICED.get(symbol.partition("/")[0], drawn)
    return Instrument(
        symbol=symbol,
        price=price,
        decimals=max(2, 5 - int(np.floor(np.log10(price)))),
        daily_volatility=0.025 + 0.0012 * min(rank, 30) + float(traits.uniform(0, 0.01)),
        common=float(np.clip(0.85 - 0.012 * rank + traits.uniform(-0.05, 0.05), 0.35, 0.9)),
        spread_bps=4.0 + 1.2 * rank**0.75,
        quotes_per_minute=60.0 * rank**-0.6 * activity,
        trades_per_minute=6.0 * rank**-1.2 * activity,
        trade_usd=400.0 * rank**-0.3,
    )
