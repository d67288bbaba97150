"""The client certificate of a request, as a thumbprint: of the TLS connection, or as a trusted proxy tells it.

Where TLS ends at a proxy, the proxy checks the certificate and hands it on in a header (RFC 9440 `Client-Cert`, or nginx's
`$ssl_client_escaped_cert`). Anybody can send a header: it counts only from an address that the settings name, and such a
proxy must remove what its own callers send under that name. Of a connection from there the header alone counts: a
certificate that the proxy itself shows to the gateway is its own, and not that of whoever asks through it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.identity.oauth.outbound import Network

_CHARACTERS_MAX: Final = 16 << 10


class Certificates:
    """Finds client certificates; `proxies` are the networks whose header is believed, `header` its name."""

    def __init__(self, proxies: Iterable[Network], header: str) -> None:
        self._proxies = tuple(proxies)
        self._header = header.lower().encode()

    def thumbprint(self, scope: Mapping[str, Any]) -> str:
        """Return `x5t#S256` (RFC 8705 §3.1) of the certificate of an ASGI request, '' when it has none."""
        if self._header and self._proxies and self._trusted(scope.get("client")):
            found = [value for name, value in scope["headers"] if name == self._header]
            return _thumbprint(found[0].decode("latin-1")) if len(found) == 1 else ""
        tls = scope.get("extensions", {}).get("tls") or {}
        chain = tls.get("client_cert_chain")
        return _thumbprint(str(next(iter(chain)))) if chain else ""

    def _trusted(self, peer: Any) -> bool:
        try:
            address = ipaddress.ip_address(peer[0])
        except (TypeError, ValueError, IndexError):
            return False
        return any(address in network for network in self._proxies)


@functools.lru_cache(maxsize=1024)
def _thumbprint(text: str) -> str:
    if len(text) > _CHARACTERS_MAX:
        return ""
    try:
        if text.startswith(":") and text.endswith(":"):
            certificate = x509.load_der_x509_certificate(base64.b64decode(text[1:-1], validate=True))
        else:
            certificate = x509.load_pem_x509_certificate(unquote(text).encode())
    except (ValueError, binascii.Error):
        return ""
    return (
        base64.urlsafe_b64encode(hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()).rstrip(b"=").decode()
    )
