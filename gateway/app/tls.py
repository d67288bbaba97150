"""TLS of the gateway's own doors: contexts of the settings, and what a connection says of itself to the application.

uvicorn gives an application no client certificate. `extension` makes of a connection what ASGI's TLS extension (version
0.2) says a server hands on; `one_write` puts it into every request's scope, where certificate-bound tokens (RFC 8705) are
held against it (`identity.oauth.certificates`).
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

from gateway.errors import Misconfigured
from gateway.settings import Settings

_VERSIONS: Final = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}


def context(
    door: str, certificate: Path, key: Path, client_ca: Path | None, *, required: bool = False
) -> ssl.SSLContext:
    """Return the side of a door of TLS 1.2 and newer (BCP 195). With `client_ca`, client certificates are asked for.

    `client_ca` holds CAs, or self-signed certificates of the clients themselves. `required` turns away whoever has none;
    otherwise what is behind the door decides. Raises Misconfigured when the files cannot be used.
    """
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key)
        if client_ca is not None:
            made.load_verify_locations(client_ca)
            made.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(
            f"TLS of the {door} door: {certificate}, {key} or {client_ca} cannot be used: {error}"
        ) from None
    return made


def of_mllp(settings: Settings) -> ssl.SSLContext:
    """Return the context of the MLLP door. Raises Misconfigured without certificate and key."""
    if settings.tls_certificate is None or settings.tls_key is None:
        raise Misconfigured("SUNDBRO_MLLP_TLS needs SUNDBRO_TLS_CERTIFICATE and SUNDBRO_TLS_KEY")
    return context("MLLP", settings.tls_certificate, settings.tls_key, settings.tls_client_ca)


def of_https(settings: Settings) -> ssl.SSLContext | None:
    """Return the context of the HTTPS door, None where it is closed. Raises Misconfigured for settings that do not fit."""
    client_ca, required = settings.https_client_ca, settings.https_client_certificate == "required"
    if not settings.https:
        if client_ca is not None or required:
            raise Misconfigured("client certificates of SUNDBRO_HTTPS_… need the door SUNDBRO_HTTPS")
        return None
    if settings.tls_certificate is None or settings.tls_key is None:
        raise Misconfigured("SUNDBRO_HTTPS needs SUNDBRO_TLS_CERTIFICATE and SUNDBRO_TLS_KEY")
    if required and client_ca is None:
        raise Misconfigured("SUNDBRO_HTTPS_CLIENT_CERTIFICATE is required: SUNDBRO_HTTPS_CLIENT_CA says of whom")
    return context("HTTPS", settings.tls_certificate, settings.tls_key, client_ca, required=required)


def extension(transport: asyncio.BaseTransport) -> dict[object, object] | None:
    """Return `scope["extensions"]["tls"]` of a connection, None where it is not TLS.

    The chain is the client's own certificate alone (PEM), which the handshake has verified and shown to be its key's.
    """
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return None
    certificate: bytes | None = connection.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(certificate)] if certificate else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version()),
        "cipher_suite": None,
    }
