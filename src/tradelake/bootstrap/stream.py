"""The functions of the stream: settings in, work out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tradelake.settings import load_settings

if TYPE_CHECKING:
    from tradelake.ports import (
        HotStore,
        Received,
    )
    from tradelake.settings import HotSettings
    from tradelake.stream.neighbours import Neighbours
    from tradelake.stream.thresholds import QualityRules
    from tradelake.usecases.aggregate import Aggregated
    from tradelake.usecases.hot import Upserted
    from tradelake.usecases.transform import Transformed
    from tradelake.usecases.validate import Validated


def wire_validate(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Validated]:
    """Return the ``validate`` function's work: ticks in, clean and quarantine out."""
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import ValidateSettings
    from tradelake.topology import names, streams
    from tradelake.usecases.validate import validate_records

    settings = load_settings(env, ValidateSettings)
    rules = quality_rules_of(settings.quality_rules)
    clean = KinesisWriter(names.physical(settings.environment, streams.CLEAN.name))
    quarantine = KinesisWriter(names.physical(settings.environment, streams.QUARANTINE.name))
    clock = SystemClock()
    return lambda received: validate_records(received, clean, quarantine, rules, clock)


def quality_rules_of(text: str) -> QualityRules:
    """Return the thresholds that a setting says: JSON, ``@`` and a file's path, or nothing."""
    from pathlib import Path

    from tradelake.errors import ConfigError
    from tradelake.stream.thresholds import load_rules

    if text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ConfigError(f"quality rules: {text[1:]} cannot be read: {error}") from error
    return load_rules(text)


def wire_neighbours(quality_rules: str, venue: str, *, live: bool) -> Neighbours:
    """Return the stage that marks what is odd among its neighbours, with a setting's thresholds."""
    from tradelake.stream.neighbours import Neighbours

    return Neighbours(quality_rules_of(quality_rules).of_venue(venue), live=live)


def wire_transform(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Transformed]:
    """Return the ``transform`` function's work: clean in, what users derive from it out."""
    import time

    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.settings import TransformSettings
    from tradelake.topology import names, streams
    from tradelake.transforms import load
    from tradelake.usecases.transform import Transforming

    settings = load_settings(env, TransformSettings)
    derived = KinesisWriter(names.physical(settings.environment, streams.DERIVED.name))
    quarantine = KinesisWriter(names.physical(settings.environment, streams.QUARANTINE.name))
    return Transforming(load(settings.transforms), derived, quarantine, time.monotonic).run


def wire_aggregate(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Aggregated]:
    """Return the ``aggregate`` function's work: clean in, bars out, state in DynamoDB."""
    from tradelake.adapters.aws.state import DynamoStateStore
    from tradelake.adapters.aws.streams import KinesisWriter
    from tradelake.adapters.system import SystemClock
    from tradelake.settings import AggregateSettings
    from tradelake.stream.aggregation import Rules
    from tradelake.topology import names, stores, streams
    from tradelake.usecases.aggregate import aggregate_records

    settings = load_settings(env, AggregateSettings)
    rules = Rules(
        settings.timeframes(),
        round(settings.lateness_s * 1e9),
        quotes_from_ns=settings.quotes_from_ns(),
    )
    states = DynamoStateStore(names.physical(settings.environment, stores.CONSUMER_STATE.name))
    bars = KinesisWriter(names.physical(settings.environment, streams.BARS.name))
    clock = SystemClock()
    return lambda received: aggregate_records(received, states, bars, rules, clock)


def wire_hot(env: Mapping[str, Any]) -> Callable[[Sequence[Received]], Upserted]:
    """Return the ``hot`` function's work: bars in, hot store out."""
    from tradelake.settings import HotSettings
    from tradelake.usecases.hot import upsert_records

    store = wire_hot_store(load_settings(env, HotSettings))
    return lambda received: upsert_records(received, store)


def wire_hot_store(settings: HotSettings) -> HotStore | None:
    """Return the hot store that the settings name; None for ``none``.

    Raises
    ------
    ConfigError
        The address has another form.
    """
    from pathlib import Path
    from urllib.parse import parse_qs, urlsplit

    from tradelake.errors import ConfigError

    if settings.hot_store == "none":
        return None
    address = urlsplit(settings.hot_store)
    if address.scheme == "sqlite" and address.path.strip("/"):
        from tradelake.adapters.embedded.hot import SqliteHotStore

        return SqliteHotStore(Path(settings.hot_store.removeprefix("sqlite:///")))
    place = address.path.strip("/").split("/")
    if address.scheme in ("influxdb", "influxdb+http") and address.netloc and len(place) == 2:
        from tradelake.adapters.aws.influx import InfluxHotStore
        from tradelake.adapters.aws.influx_login import influx_token

        plain = address.scheme == "influxdb+http"
        url = f"{'http' if plain else 'https'}://{address.netloc}"
        secret = parse_qs(address.query).get("secret", [""])[0]
        if secret:
            from tradelake.adapters.aws.secrets import SecretsManager

            token = influx_token(url, place[0], SecretsManager().get(secret))
        else:
            token = settings.hot_token
        return InfluxHotStore(url, place[0], place[1], token)
    raise ConfigError(
        "hot store: expected sqlite:///path, influxdb://host:port/org/bucket?secret=name or none;"
        f" found {settings.hot_store!r}"
    )
