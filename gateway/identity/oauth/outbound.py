"""The one door through which the authorization server fetches an address that a registration names: key sets.

An address from outside is a way to make this gateway ask whatever it can reach (SSRF). So: https alone, a host that the
operator has listed, no redirects, a body of at most 64 KiB within five seconds; and every address the host resolves to
must be public, or of a network the operator has listed. The connection goes to the address that was looked at, not to
what the name says a moment later.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.errors import Misconfigured, SundbroError, Unavailable
from gateway.formats import json

BYTES_MAX: Final = 64 << 10
SECONDS_MAX: Final = 5.0
PORT: Final = 443
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=(\d{1,9})(?:$|[\s,])")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]


class NotAllowedOut(Exception):
    """An address that is not fetched; the text says why, not what."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A JSON document, and how long it may be kept."""

    document: Any
    seconds: float | None


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def networks(text: str) -> tuple[Network, ...]:
    """Return networks by commas. Raises Misconfigured."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Misconfigured(f"a network is written 10.20.0.0/16: {error}") from None


def public(address: Address) -> bool:
    """Say whether an address is of the public internet, and not one in disguise of another."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return False
        if address.sixtofour is not None or address.teredo is not None or address in _TRANSLATED:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class Outbound:
    """Fetches JSON. `hosts` are `host` or `host:port`; `private` networks are allowed though they are not public."""

    def __init__(
        self,
        hosts: Iterable[str],
        private: Iterable[Network] = (),
        *,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._hosts = frozenset(host.strip().lower() for host in hosts if host.strip())
        self._private = tuple(private)
        self._resolve = resolve
        self._tls = tls

    async def json(self, uri: str) -> Fetched:
        """Return the document at an address. Raises NotAllowedOut, or Unavailable when it does not come."""
        host, port, path = self._looked_at(uri)
        import httpx  # noqa: PLC0415  a fifth of a second, for gateways that fetch nothing

        try:
            async with asyncio.timeout(SECONDS_MAX):
                address = await self._address(host, port)
                literal = f"[{address}]" if ":" in address else address
                named = host if port == PORT else f"{host}:{port}"
                async with (
                    httpx.AsyncClient(verify=self._tls or True, trust_env=False, follow_redirects=False) as client,
                    client.stream(
                        "GET",
                        f"https://{literal}:{port}{path}",
                        headers={"host": named, "accept": "application/json", "accept-encoding": "identity"},
                        extensions={"sni_hostname": host},
                    ) as answer,
                ):
                    if answer.status_code != 200:  # noqa: PLR2004
                        raise Unavailable(f"the key set was answered with status {answer.status_code}")
                    body = b""
                    async for piece in answer.aiter_raw():
                        body += piece
                        if len(body) > BYTES_MAX:
                            raise NotAllowedOut(f"more than {BYTES_MAX} bytes")
                    kept = _MAX_AGE.search(answer.headers.get("cache-control", ""))
        except (TimeoutError, OSError, httpx.HTTPError) as error:
            raise Unavailable(f"the key set did not come ({type(error).__name__})") from None
        try:
            return Fetched(json.loads(body), float(kept[1]) if kept else None)
        except SundbroError:
            raise NotAllowedOut("not JSON") from None

    def _looked_at(self, uri: str) -> tuple[str, int, str]:
        """Return host, port and path of an address that may be asked for."""
        try:
            at = urlsplit(uri)
            host, port = (at.hostname or "").lower(), at.port or PORT
        except ValueError:
            raise NotAllowedOut("not an address") from None
        if at.scheme != "https" or at.username is not None or at.password is not None or not uri.isascii():
            raise NotAllowedOut("https alone, without a user")
        if re.search(r"[\s\\\x00-\x20]", uri):
            raise NotAllowedOut("not an address")
        if (host if port == PORT else f"{host}:{port}") not in self._hosts:
            raise NotAllowedOut("a host that SUNDBRO_JWKS_HOSTS does not name")
        return host, port, (at.path or "/") + (f"?{at.query}" if at.query else "")

    async def _address(self, host: str, port: int) -> str:
        """Return an address to connect to, of a host all of whose addresses may be asked."""
        found = await self._resolve(host, port)
        if not found:
            raise Unavailable("the host has no address")
        for text in found:
            address = ipaddress.ip_address(text.partition("%")[0])
            if not public(address) and not any(address in network for network in self._private):
                raise NotAllowedOut("a host with an address that is not public")
        return found[0]


@dataclass(slots=True)
class _Kept:
    document: Any = None
    fetched: float = float("-inf")
    until: float = float("-inf")
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """Key sets by address, kept as long as their servers say, at most an hour; asked for again at most every 30 seconds.

    A key id that is not in the kept set is a reason to look again, and an attacker can make up any number of them: the
    pause holds for whoever asks.
    """

    PAUSE_SECONDS: Final = 30.0
    KEPT_SECONDS: Final = 300.0
    KEPT_SECONDS_MAX: Final = 3600.0

    def __init__(self, outbound: Outbound, seconds: Callable[[], float] = time.monotonic) -> None:
        self._outbound = outbound
        self._seconds = seconds
        self._kept: dict[str, _Kept] = {}

    async def get(self, uri: str, kid: str) -> Mapping[str, Any] | None:
        """Return the key set at `uri`, looked up again when it is old or does not have `kid`. None when there is none."""
        kept = self._kept.setdefault(uri, _Kept())
        async with kept.lock:
            now = self._seconds()
            if (now >= kept.until or not _has(kept.document, kid)) and now - kept.fetched >= self.PAUSE_SECONDS:
                kept.fetched = now
                try:
                    fetched = await self._outbound.json(uri)
                except (NotAllowedOut, Unavailable):
                    if now >= kept.until:
                        kept.document = None
                else:
                    seconds = self.KEPT_SECONDS if fetched.seconds is None else fetched.seconds
                    kept.document = fetched.document
                    kept.until = now + min(max(seconds, self.PAUSE_SECONDS), self.KEPT_SECONDS_MAX)
        return kept.document if isinstance(kept.document, dict) else None


def _has(document: Any, kid: str) -> bool:
    keys = document.get("keys") if isinstance(document, dict) else None
    return isinstance(keys, list) and any(isinstance(key, dict) and key.get("kid") == kid for key in keys)
