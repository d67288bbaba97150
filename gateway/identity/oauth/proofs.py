"""DPoP proofs (RFC 9449): a request signed, once, with the key that its token is bound to.

The nonce is the gateway's: an HMAC of the moment, so that no process needs to remember it, good for five to ten minutes. A
proof is good once: its `jti` is kept in the database for as long as the proof could be shown again.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import hmac
from typing import Any, Final
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from gateway.clock import Clock
from gateway.errors import SundbroError
from gateway.formats import json
from gateway.store.grants import Grants

ALGORITHMS: Final = {"ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "PS256": ("RSA", ""), "RS384": ("RSA", "")}
SKEW_SECONDS: Final = 60
_SLOT_SECONDS: Final = 300
_KEPT: Final = dt.timedelta(seconds=4 * SKEW_SECONDS)
_CHARACTERS_MAX: Final = 8192
_JTI_MAX: Final = 256
_RSA_BITS_MIN: Final = 2048


class ProofError(Exception):
    """A proof that does not hold. `error` is RFC 9449's word, `nonce` what to try again with."""

    def __init__(self, text: str, *, error: str = "invalid_dpop_proof", nonce: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.error = error
        self.nonce = nonce


class Proofs:
    """Checks proofs. `secret` makes the nonces and is the same in every process."""

    def __init__(self, grants: Grants, secret: bytes, clock: Clock) -> None:
        self._grants = grants
        self._secret = secret
        self._clock = clock

    def nonce(self, before: int = 0) -> str:
        """Return the nonce of this moment, or of so many slots before."""
        slot = int(self._clock.now().timestamp()) // _SLOT_SECONDS - before
        digest = hmac.digest(self._secret, str(slot).encode(), "sha256")
        return base64.urlsafe_b64encode(digest[:18]).decode()

    async def key(self, proof: str, method: str, url: str, token: str | None = None) -> str:
        """Return the thumbprint of the key that signed a proof for this request. Raises ProofError.

        `token` is the access token that came with it: the proof must name its hash (`ath`).
        """
        key, algorithm = _key(proof)
        try:
            claims = jwt.decode(proof, key, algorithms=[algorithm]).claims
        except (JoseError, ValueError, TypeError, KeyError):
            raise ProofError("the proof's signature does not hold") from None
        self._claims(claims, method, url, token)
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not any(_same(nonce, self.nonce(before)) for before in (0, 1)):
            raise ProofError("the proof needs a nonce of this server", error="use_dpop_nonce", nonce=self.nonce())
        thumbprint = key.thumbprint()
        once = hashlib.sha256(f"{thumbprint} {claims['jti']}".encode()).digest()
        now = self._clock.now()
        if not await self._grants.put("proof", once, b"", now + _KEPT, now):
            raise ProofError("the proof was used before")
        return thumbprint

    def _claims(self, claims: dict[str, Any], method: str, url: str, token: str | None) -> None:
        at, jti = claims.get("iat"), claims.get("jti")
        if not (isinstance(jti, str) and 0 < len(jti) <= _JTI_MAX and _encodable(jti)):
            raise ProofError("the proof has no jti")
        now = int(self._clock.now().timestamp())
        if type(at) is not int or not -SKEW_SECONDS <= now - at <= SKEW_SECONDS:
            raise ProofError("the proof is not of this moment")
        if (
            claims.get("htm") != method
            or not isinstance(claims.get("htu"), str)
            or _place(claims["htu"]) != _place(url)
        ):
            raise ProofError("the proof is for another request")
        if token is not None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
            if not isinstance(claims.get("ath"), str) or not _same(claims["ath"], digest):
                raise ProofError("the proof is for another token")


def _key(proof: str) -> tuple[ECKey | RSAKey, str]:
    """Return the key and algorithm of a proof's header."""
    try:
        part = proof.partition(".")[0]
        if len(proof) > _CHARACTERS_MAX or not proof.isascii():
            raise ProofError("the proof is too long")
        header = json.loads(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, SundbroError):
        raise ProofError("the proof is no signed token") from None
    if not isinstance(header, dict) or set(header) != {"typ", "alg", "jwk"} or header["typ"] != "dpop+jwt":
        raise ProofError("the proof's header is typ dpop+jwt, alg and jwk alone")
    algorithm, given = header["alg"], header["jwk"]
    wanted = ALGORITHMS.get(algorithm) if isinstance(algorithm, str) else None
    if wanted is None or not isinstance(given, dict) or "d" in given:
        raise ProofError("the proof's key or algorithm is none that is taken")
    if (given.get("kty"), given.get("crv", "")) != wanted:
        raise ProofError("the proof's algorithm does not fit its key")
    try:
        key: ECKey | RSAKey = (ECKey if wanted[0] == "EC" else RSAKey).import_key(given)
        small = isinstance(key, RSAKey) and key.public_key.key_size < _RSA_BITS_MIN
    except (JoseError, ValueError, TypeError, KeyError):
        raise ProofError("the proof's key cannot be read") from None
    if small:
        raise ProofError("the proof's key is too short")
    return key, algorithm


def _place(url: str) -> tuple[str, str, int | None, str] | None:
    """Return what of an address must be equal (RFC 9449 §4.3: without query and fragment)."""
    try:
        at = urlsplit(url)
        port = at.port or {"https": 443, "http": 80}.get(at.scheme)
    except ValueError:
        return None
    return at.scheme.lower(), (at.hostname or "").lower(), port, at.path or "/"


def _same(one: str, other: str) -> bool:
    return _encodable(one) and hmac.compare_digest(one.encode(), other.encode())


def _encodable(text: str) -> bool:
    """Say whether a text has no half of a surrogate pair, which JSON can write and UTF-8 cannot."""
    return not any("\ud800" <= one <= "\udfff" for one in text)
