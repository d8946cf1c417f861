"""A token for an InfluxDB v2 server that hands out a user name and password only.

Timestream for InfluxDB makes a secret with ``username`` and ``password``. Writes and InfluxQL reads
want a token, so this signs in once a process and takes the token of our own authorization, which
may read and write buckets and nothing else; the first time it makes that authorization.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec
import urllib3

from tradelake.decoding import json_decoder
from tradelake.errors import ConfigError, Fatal, Transient
from tradelake.topology.names import SYSTEM

DESCRIPTION: Final = f"{SYSTEM} hot store"


def influx_token(url: str, org: str, secret: Mapping[str, str]) -> str:
    """Return the secret's ``token``, or one got with its ``username`` and ``password``.

    Raises
    ------
    ConfigError
        The secret has neither, or there is no such organisation.
    Fatal
        The server refuses the password.
    Transient
        The server is away.
    """
    if "token" in secret:
        return secret["token"]
    if "username" not in secret or "password" not in secret:
        raise ConfigError("hot store secret: expected token, or username and password")
    with urllib3.PoolManager(timeout=urllib3.Timeout(connect=3.0, read=10.0)) as pool:
        credentials = urllib3.make_headers(basic_auth=f"{secret['username']}:{secret['password']}")
        signed_in = _call(pool, "POST", f"{url}/api/v2/signin", credentials)
        session = {"Cookie": signed_in.headers.get("Set-Cookie", "").partition(";")[0]}
        orgs = _json(_call(pool, "GET", f"{url}/api/v2/orgs?org={quote(org)}", session))["orgs"]
        if not orgs:
            raise ConfigError(f"hot store {url}: there is no organisation {org!r}")
        org_id = orgs[0]["id"]
        path = f"{url}/api/v2/authorizations"
        for known in _json(_call(pool, "GET", f"{path}?orgID={org_id}", session))["authorizations"]:
            ours = known.get("description") == DESCRIPTION and known.get("status") == "active"
            if ours and known.get("token"):
                return str(known["token"])
        return str(_json(_call(pool, "POST", path, session, _authorization(org_id)))["token"])


def _authorization(org_id: str) -> dict[str, Any]:
    resource = {"type": "buckets", "orgID": org_id}
    permissions = [{"action": action, "resource": resource} for action in ("read", "write")]
    return {"orgID": org_id, "description": DESCRIPTION, "permissions": permissions}


def _call(
    pool: urllib3.PoolManager,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any] | None = None,
) -> urllib3.BaseHTTPResponse:
    what = f"{method} {url.partition('?')[0]}"
    try:
        answer = pool.request(
            method,
            url,
            headers=headers,
            body=None if body is None else msgspec.json.encode(body),
        )
    except urllib3.exceptions.HTTPError as error:
        raise Transient(f"{what}: {error}") from error
    if answer.status >= 500 or answer.status == 429:
        raise Transient(f"{what}: {answer.status}")
    if answer.status >= 400:
        raise Fatal(f"{what}: {answer.status}")
    return answer


def _json(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    return json_decoder(dict[str, Any]).decode(answer.data)
