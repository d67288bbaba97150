"""What a provider is asked, server to server: to hosts that the settings name, and to nobody else.

https alone (plain http to this machine in development), no redirects, answers of at most 64 KiB of JSON within 10
seconds. An address that a discovery document brings along is checked like any other: it may not lead elsewhere.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from gateway import errors
from gateway.formats import json
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.providers import LOOPBACK

ANSWER_BYTES_MAX: Final = 64 << 10
SECONDS_MAX: Final = 10.0
_FORMS: Final = ("application/json", "application/jwk-set+json", "application/jwt")


class Outbound:
    """Asks one provider. `transport` is another way than the network: to the issuer in this process."""

    def __init__(
        self,
        hosts: frozenset[str],
        *,
        loopback: bool = False,
        ca: Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts = hosts
        self._loopback = loopback
        self._within = transport is not None
        verify = ssl.create_default_context(cafile=str(ca)) if ca else True
        self._client = httpx.AsyncClient(
            verify=verify, transport=transport, timeout=SECONDS_MAX, follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def allowed(self, address: str) -> bool:
        """Say whether an address is one of this provider's."""
        parts = urlsplit(address)
        if "@" in parts.netloc or parts.fragment or parts.netloc not in self._hosts:
            return False
        plain = self._loopback and (self._within or parts.hostname in LOOPBACK)
        return parts.scheme == "https" or (parts.scheme == "http" and plain)

    async def ask(
        self,
        method: str,
        address: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Return status and JSON value (a text for a JWT, None where it is neither) of an answer below 500.

        Raises LoginFailed (unreachable) where the provider does not answer, or answers 5xx or more than it may;
        (invalid) for an address that is not its own.
        """
        if not self.allowed(address):
            raise LoginFailed(Fault.INVALID, "an address that is not the provider's")
        try:
            async with self._client.stream(method, address, data=form, headers=headers) as answer:
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > ANSWER_BYTES_MAX:
                        raise LoginFailed(Fault.UNREACHABLE, "an answer of more than 64 KiB")
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise LoginFailed(Fault.UNREACHABLE, type(error).__name__) from None
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise LoginFailed(Fault.UNREACHABLE, f"status {status}")
        return status, _value(kind, bytes(body))


def _value(kind: str, body: bytes) -> Any:
    if kind not in _FORMS:
        return None
    if kind == "application/jwt":
        return body.decode("ascii", "replace").strip()
    try:
        return json.loads(body)
    except errors.Incorrect:
        return None
