"""Secrets Manager. Values are never logged and never part of an error."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from tradelake.adapters.aws.clients import client, translate
from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError


class SecretsManager:
    """A :class:`~tradelake.ports.SecretStore`; names are physical."""

    def __init__(self) -> None:
        self._secrets = client("secretsmanager")

    def get(self, name: str) -> Mapping[str, str]:
        """Fields of the secret's current version.

        Raises
        ------
        ConfigError
            It does not exist or is no JSON object of strings.
        """
        try:
            text = self._secrets.get_secret_value(SecretId=name)["SecretString"]
        except self._secrets.exceptions.ResourceNotFoundException as error:
            raise ConfigError(f"secret {name} does not exist or has no value yet") from error
        except KeyError as error:
            raise ConfigError(f"secret {name} is binary; expected a JSON object") from error
        except (ClientError, BotoCoreError) as error:
            raise translate(error, f"secretsmanager get {name}") from error
        try:
            return json_decoder(dict[str, str]).decode(text)
        except msgspec.MsgspecError:
            # The library's message quotes the value: it must not travel along.
            raise ConfigError(f"secret {name} is no JSON object of strings") from None
