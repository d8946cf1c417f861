"""Signature Version 4 of a JSON request, with the day's key kept: botocore's costs ten times more.

References
----------
AWS, "Create a signed AWS API request", IAM User Guide (Signature Version 4).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

ALGORITHM: Final = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Credential:
    """Who signs; never shown."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False, default=None)


class Signer:
    """Signs requests to one endpoint.

    Parameters
    ----------
    service, region : str
        The signature's scope.
    url : str
        Where requests go; requests are POST to its path.
    """

    def __init__(self, service: str, region: str, url: str) -> None:
        parts = urlsplit(url)
        self._service, self._region = service, region
        self._host, self._path = parts.netloc, parts.path or "/"
        self._kept: tuple[str, str, bytes] | None = None

    def headers(
        self, credential: Credential, target: str, content_type: str, body: bytes, now_ns: int
    ) -> dict[str, str]:
        """Return the headers of a signed request.

        Parameters
        ----------
        credential : Credential
            Who signs.
        target, content_type : str
            ``X-Amz-Target`` and ``Content-Type``.
        body : bytes
            What is posted.
        now_ns : int
            The server's time, ns since 1970 UTC: it refuses signatures more than minutes off.
        """
        stamp = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {
            "content-type": content_type,
            "host": self._host,
            "x-amz-date": stamp,
            "x-amz-target": target,
        }
        if credential.token is not None:
            signed["x-amz-security-token"] = credential.token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        digest = hashlib.sha256(body).hexdigest()
        canonical = f"POST\n{self._path}\n\n{lines}\n{names}\n{digest}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        key = self._key(credential.secret_key, stamp[:8])
        signature = _mac(key, f"{ALGORITHM}\n{stamp}\n{scope}\n{hashed}").hex()
        signed["authorization"] = (
            f"{ALGORITHM} Credential={credential.access_key}/{scope},"
            f" SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _key(self, secret: str, day: str) -> bytes:
        if self._kept is None or self._kept[:2] != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = _mac(key, part)
            self._kept = (secret, day, key)
        return self._kept[2]


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
