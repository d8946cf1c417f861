"""What Alpaca trades, through alpaca-py's trading client."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetClass
from alpaca.trading.requests import GetAssetsRequest

from tradelake.decoding import convert
from tradelake.errors import Fatal, InvalidData, Throttled, TradelakeError, Transient
from tradelake.feed.universe import Asset
from tradelake.market.symbols import parse_symbol

TIMEOUTS_S: Final = (5.0, 15.0)
"""To connect, and between two pieces of an answer."""


_Decimal = str | int | float | None


class _WireAsset(msgspec.Struct):
    id: str
    symbol: str
    status: str
    tradable: bool
    min_order_size: _Decimal = None
    min_trade_increment: _Decimal = None
    price_increment: _Decimal = None


class _Client(TradingClient):  # type: ignore[misc]  # alpaca-py is not type-checked here
    """The SDK's client with time-outs, which it lacks, and without its own silent sleeps."""

    timeouts_s = TIMEOUTS_S

    def _one_request(self, method: str, url: str, opts: dict[str, Any], retry: int) -> Any:  # noqa: ANN401, ARG002
        return super()._one_request(method, url, opts | {"timeout": self.timeouts_s}, 0)


class AlpacaAssets:
    """The crypto pairs of an account's environment; one request a question, never repeated.

    Increments are taken as the venue wrote them: the SDK's own model makes floats of them.

    Parameters
    ----------
    key, secret : str
        Of the account, paper or live as ``url`` is.
    url : str or None
        Base of the trading API, without ``/v2``; None: Alpaca's paper trading.
    timeouts_s : tuple of float
        To connect, and between two pieces of an answer.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        url: str | None = None,
        timeouts_s: tuple[float, float] = TIMEOUTS_S,
    ) -> None:
        self._client = _Client(key, secret, raw_data=True, url_override=url)
        self._client.timeouts_s = timeouts_s

    def crypto_assets(self) -> Sequence[Asset]:
        """Every crypto pair the venue lists, active or not.

        Entries whose symbol is no pair, as market data spell it, are left out: older ones are
        spelt ``BTCUSD``, and nobody can subscribe to those.

        Raises
        ------
        Transient
            The venue could not be reached, kept failing or asks for less.
        Fatal
            It refuses the request.
        InvalidData
            Rule ``assets``: the answer is not what the API documents.
        """
        try:
            answer = self._client.get_all_assets(GetAssetsRequest(asset_class=AssetClass.CRYPTO))
        except (APIError, requests.RequestException) as error:
            raise _translate(error) from error
        try:
            wire = convert(answer, list[_WireAsset])
        except msgspec.ValidationError as error:
            raise InvalidData("assets", f"/v2/assets: {error}") from error
        return [_asset(asset) for asset in wire if _is_pair(asset.symbol)]


def _is_pair(symbol: str) -> bool:
    try:
        parse_symbol(symbol)
    except InvalidData:
        return False
    return True


def _text(value: _Decimal) -> str:
    """A decimal as the venue wrote it; a number without an exponent."""
    if value is None or isinstance(value, str):
        return value or ""
    return format(Decimal(repr(value)), "f")


def _asset(wire: _WireAsset) -> Asset:
    return Asset(
        wire.id,
        wire.symbol,
        wire.status,
        wire.tradable,
        _text(wire.min_order_size),
        _text(wire.min_trade_increment),
        _text(wire.price_increment),
    )


def _translate(error: APIError | requests.RequestException) -> TradelakeError:
    if not isinstance(error, APIError):
        # a message of requests may hold the URL, which holds nothing secret: keys are headers
        return Transient(f"assets: {type(error).__name__}: {error}")
    status = error.status_code
    text = f"assets: HTTP {status}: {str(error)[:300]}"
    if status == 429:
        return Throttled(text)
    return Transient(text) if status is None or status >= 500 else Fatal(text)
