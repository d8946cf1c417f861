"""The account at Alpaca."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tradelake.feed.subscription import Credentials


def alpaca_credentials(environment: str) -> Credentials:
    """Return the account's key and secret as Secrets Manager has them now.

    Raises
    ------
    ConfigError
        The secret is missing or lacks a field.
    """
    from tradelake.adapters.aws.secrets import SecretsManager
    from tradelake.errors import ConfigError
    from tradelake.feed.subscription import Credentials
    from tradelake.topology import names

    name = names.physical(environment, names.ALPACA_SECRET)
    secret = SecretsManager().get(name)
    if not (secret.get("key") and secret.get("secret")):
        raise ConfigError(f"secret {name}: expected the fields key and secret")
    return Credentials(secret["key"], secret["secret"])
