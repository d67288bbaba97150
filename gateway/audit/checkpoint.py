"""A checkpoint: a signed statement of how far a chain goes and what its last hash is. What a witness outside is told.

One line of JSON: `signed` is the very text that was signed, `signature` its Ed25519 signature (base64), so that nobody has
to write JSON in the same way twice. The key is a file (PEM, PKCS #8), made at the first use; keep a copy of the public half
(`….pub`) where whoever can write to the database cannot.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.clock import UTC
from gateway.errors import Incorrect, Misconfigured
from gateway.formats import json

_RAW: Final = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed. Hashes are hex."""

    chain: int
    name: str
    number: int
    """From 1, without gaps."""
    first: int
    upto: int
    """The records since the last checkpoint: their numbers are first to upto; first is upto + 1 where there are none."""
    head: str
    """The hash of record `upto`."""
    root: str
    """The root of the Merkle tree over the hashes of these records."""
    before: str
    """SHA-256 of the `signed` text of the checkpoint before, '' of the first."""
    at: str
    closed: bool = False
    """The chain goes no further."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the text that is signed, for the next checkpoint."""
        return hashlib.sha256(self._text()).hexdigest()

    def _text(self) -> bytes:
        return json.dumps({name: getattr(self, name) for name in self.__dataclass_fields__})

    def line(self, key: Key) -> bytes:
        """Return the line that holds it, without a line break."""
        text = self._text()
        signature = base64.b64encode(key.sign(text)).decode()
        return json.dumps({"signed": text.decode(), "key": key.name, "signature": signature})

    @classmethod
    def read(cls, line: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Self:
        """Return what a line holds. Raises Incorrect when it is no checkpoint, or none of these keys signed it."""
        try:
            held: Any = json.look(line)
            text: str = held["signed"]
            keys[held["key"]].verify(base64.b64decode(held["signature"]), text.encode())
            values: dict[str, Any] = json.look(text.encode())
            made = cls(**values)
        except InvalidSignature:
            raise Incorrect("a checkpoint's signature does not hold") from None
        except KeyError:
            raise Incorrect("a checkpoint is signed with a key that is not known") from None
        except (ValueError, TypeError, binascii.Error):
            raise Incorrect("this is not a checkpoint") from None
        if made._text() != text.encode():
            raise Incorrect("this is not a checkpoint as this program writes it")
        return made


def stamp(moment: dt.datetime) -> str:
    """Write a moment as checkpoints do."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class Key:
    """The key that signs checkpoints."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key()
        self.name = key_name(self.public)

    def sign(self, text: bytes) -> bytes:
        """Return the signature of a text."""
        return self._private.sign(text)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Return the key of a file, made when it is missing: two processes that start together agree on one.

        Raises Misconfigured when the file cannot be used, or can be read by others than its owner.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _make(path)
            if path.stat().st_mode & 0o077:
                raise Misconfigured(f"the key {path} can be read by others than its owner: chmod 600")
            private = serialization.load_pem_private_key(path.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(f"the key {path} cannot be used: {type(error).__name__}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise Misconfigured(f"the key {path} is not an Ed25519 key")
        return cls(private)


def _make(path: Path) -> None:
    private = Ed25519PrivateKey.generate()
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(made)
        public = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path.with_name(f"{path.name}.pub").write_bytes(public)
    except FileExistsError:
        pass
    finally:
        made.unlink()


def key_name(public: Ed25519PublicKey) -> str:
    """Return what a key is called in checkpoints: the first half of the SHA-256 of its bytes, hex."""
    return hashlib.sha256(public.public_bytes(*_RAW)).hexdigest()[:32]


def public_keys(paths: Sequence[Path]) -> dict[str, Ed25519PublicKey]:
    """Return the public keys of PEM files (a private key stands for its public half). Raises Misconfigured."""
    found: dict[str, Ed25519PublicKey] = {}
    for path in paths:
        try:
            pem = path.read_bytes()
            if b"PRIVATE KEY" in pem:
                private = serialization.load_pem_private_key(pem, None)
                public: Any = private.public_key()
            else:
                public = serialization.load_pem_public_key(pem)
        except (OSError, ValueError, TypeError) as error:
            raise Misconfigured(f"the key {path} cannot be used: {type(error).__name__}") from None
        if not isinstance(public, Ed25519PublicKey):
            raise Misconfigured(f"the key {path} is not an Ed25519 key")
        found[key_name(public)] = public
    return found
