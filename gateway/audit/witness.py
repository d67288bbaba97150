"""Witnesses: who is told every checkpoint, so that whoever owns the database cannot tell another story later.

The first two: a file that is only ever added to (put it on another disk, or where another account owns it), and an HTTP
address that answers 2xx once it has kept the line. Sent until acknowledged, so a witness may get a line twice.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final, Protocol

import httpx

from gateway.errors import Unavailable

HTTP_SECONDS: Final = 10.0
TYPE: Final = "application/json"


class Witness(Protocol):
    """One witness. `name` is how it is called in the list of what is not sent yet."""

    name: str

    async def tell(self, line: bytes) -> None:
        """Return when the line is kept there. Raises Unavailable."""
        ...


class FileWitness:
    """A file of lines."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    async def tell(self, line: bytes) -> None:
        """See `Witness`."""
        try:
            await asyncio.to_thread(self._add, line + b"\n")
        except OSError as error:
            raise Unavailable(f"the witness file cannot be written ({type(error).__name__})") from None

    def _add(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.write(file, line) != len(line):  # a full disk: half a line is no line, and it is sent again
                raise OSError("short write")
            os.fsync(file)
        finally:
            os.close(file)


class HttpWitness:
    """An address that takes checkpoints by POST. No redirect is followed."""

    name = "http"

    def __init__(self, address: str) -> None:
        self._address = address

    async def tell(self, line: bytes) -> None:
        """See `Witness`."""
        try:
            async with httpx.AsyncClient(timeout=HTTP_SECONDS, follow_redirects=False) as client:
                answer = await client.post(self._address, content=line, headers={"content-type": TYPE})
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(f"the witness does not answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise Unavailable(f"the witness answers {answer.status_code}")


def lines(path: Path) -> list[bytes]:
    """Return the lines of a witness file. Half a line that a full disk left behind is among them, and is no checkpoint.

    Raises OSError.
    """
    return [line for line in path.read_bytes().split(b"\n") if line.strip()]
