"""The watched folder: `<drop>/<feed>/` takes files. What is durable goes to `done/`, what cannot be taken to `failed/`.

    <drop>/<feed>/adt-0413.hl7                              put it here: by renaming it in, or by writing and leaving it
    <drop>/<feed>/done/adt-0413.hl7                         durable; `….receipts.json` beside it has a receipt a message
    <drop>/<feed>/failed/adt-0413.hl7                       nothing of it was taken; `….problem.json` beside it says why

A file is taken when its size and time have not changed between two looks. Names that begin with `.` or end with
`.part`, `.tmp`, `.filepart` or `.partial` are left alone: file transfer programs use them for what is not complete.

Nothing is lost: the file is moved after the log confirmed it. Nothing is doubled: a gateway that dies between the two
takes the file again, and the store drops the duplicates. Links are not followed. The gateway never deletes a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway import errors
from gateway.formats import json
from gateway.model import Feed, Reason
from gateway.observe import events
from gateway.receive import problems
from gateway.receive.intake import Intake, media_types, reason
from gateway.receive.receipts import Receipt

DOOR: Final = "files"
_INCOMPLETE: Final = (".part", ".tmp", ".filepart", ".partial")
_RETRY_SECONDS_MAX: Final = 30.0
_ENDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    ".json": ("application/fhir+json", "application/json"),
    ".ndjson": ("application/fhir+ndjson", "application/x-ndjson", "application/ndjson"),
    ".jsonl": ("application/x-ndjson", "application/ndjson"),
    ".xml": ("application/fhir+xml", "application/xml", "text/xml"),
    ".hl7": ("application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2+er7", "text/plain"),
    ".er7": ("application/hl7-v2", "application/hl7-v2+er7", "x-application/hl7-v2+er7", "text/plain"),
    ".txt": ("text/plain", "application/hl7-v2"),
}
"""Content types that a file's ending may mean, the likeliest first."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the folder saw of a file."""

    name: str
    size: int
    modified_ns: int


class FilesDoor:
    """Watches one folder with a sub-folder for each feed that has this door. One task: `run`."""

    def __init__(
        self, intake: Intake, *, drop: Path, tell: events.Tell, bytes_max: int = 16 << 20, look_seconds: float = 1.0
    ) -> None:
        self._intake = intake
        self._drop = drop
        self._tell = tell
        self._bytes_max = bytes_max
        self._look_seconds = look_seconds
        self._seen: dict[str, dict[str, _Look]] = {}
        self._faulty: set[tuple[str, _Look]] = set()

    async def run(self) -> None:
        """Watch until cancelled. A file that is being taken when that happens is taken again next time."""
        pause = self._look_seconds
        while True:
            try:
                await self.look()
                pause = self._look_seconds
            except (errors.Unavailable, errors.Busy, OSError) as error:
                pause = min(pause * 2, _RETRY_SECONDS_MAX)
                self._tell(events.PartUnavailable("files", type(error).__name__, pause))
            await asyncio.sleep(pause)

    async def look(self) -> int:
        """Look once at every folder and take what has not changed since the last look; return how many files were dealt
        with. Makes the folders that are missing. Raises errors.Unavailable or errors.Busy (the file stays), OSError.
        """
        dealt = 0
        for feed in self._intake.feeds(DOOR):
            folder = self._drop / feed.name
            found = await asyncio.to_thread(_scan, folder)
            before = self._seen.get(feed.name, {})
            self._seen[feed.name] = {look.name: look for look in found}
            for look in sorted(found, key=lambda look: (look.modified_ns, look.name)):
                if before.get(look.name) == look and (feed.name, look) not in self._faulty:
                    await self._try(feed, folder, look)
                    dealt += 1
        return dealt

    async def _try(self, feed: Feed, folder: Path, look: _Look) -> None:
        """Take one file. One that brings a fault of ours to light stays until it changes or we start anew."""
        try:
            await self._take(feed, folder, look)
        except (errors.SundbroError, OSError):
            raise
        except Exception as error:  # noqa: BLE001  announced; the other files go on
            self._intake.fault(error)
            self._faulty.add((feed.name, look))

    async def _take(self, feed: Feed, folder: Path, look: _Look) -> None:
        path = folder / look.name
        receipts: list[Receipt] = []
        refused: errors.Refused | None = None
        try:
            if look.size > self._bytes_max:
                raise errors.TooLarge(f"the file is larger than {self._bytes_max} bytes")
            kind = content_type(look.name, feed)
            body = await asyncio.to_thread(_read, path, self._bytes_max)
            receipts = await self._intake.take(feed.name, body, kind, door=DOOR, sender=f"files/{feed.name}")
        except FileNotFoundError:
            return  # another process of the gateway took it, or its owner took it back
        except errors.Busy:
            raise
        except errors.Refused as error:
            refused = error
        if refused is None and all(receipt.refused for receipt in receipts):
            refused = errors.Unprocessable("no message in this file could be taken")
        if refused is None:
            note = _note([receipt.as_json(feed.name) for receipt in receipts])
            await asyncio.to_thread(_move, path, folder / "done", ".receipts.json", note)
            taken = sum(not receipt.refused for receipt in receipts)
            self._tell(events.FileTaken(feed.name, "done", taken))
            return
        reasons = [why for receipt in receipts for why in receipt.reasons] or _reasons(refused)
        await asyncio.to_thread(_move, path, folder / "failed", ".problem.json", _note(problems.body(refused, reasons)))
        self._intake.refused(feed.name, DOOR, str(refused.status))
        self._tell(events.FileTaken(feed.name, "failed", 0))


def content_type(name: str, feed: Feed) -> str:
    """Return the content type of a file by its ending, as the feed names it. Raises errors.UnsupportedMedia.

    A feed that takes JSON takes lines of JSON as well.
    """
    ending = Path(name).suffix.lower()
    meant = _ENDINGS.get(ending, ())
    taken = media_types(feed)
    for kind in meant:
        if kind in taken:
            return kind
    endings = [ending for ending, kinds in _ENDINGS.items() if any(kind in taken for kind in kinds)]
    raise errors.UnsupportedMedia(f"this feed takes files that end with {', '.join(endings)}")


def _reasons(error: errors.Refused) -> Sequence[Reason]:
    return [reason(error)] if isinstance(error, errors.Unprocessable | errors.Incorrect | errors.TooLarge) else []


def _note(value: object) -> bytes:
    return json.dumps(value) + b"\n"


def _scan(folder: Path) -> list[_Look]:
    """Return what stands in a feed's folder and may be complete. Blocking."""
    for name in ("done", "failed"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.lower().endswith(_INCOMPLETE):
                continue
            with contextlib.suppress(FileNotFoundError):
                if entry.is_file(follow_symlinks=False):
                    stat = entry.stat(follow_symlinks=False)
                    found.append(_Look(entry.name, stat.st_size, stat.st_mtime_ns))
    return found


def _read(path: Path, bytes_max: int) -> bytes:
    """Return a file's bytes. Blocking. Refuses a link that was put in its place after the look."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EACCES, errno.EPERM}:
            raise errors.Unprocessable("the gateway may not read this file") from None
        raise
    with os.fdopen(handle, "rb") as file:
        body = file.read(bytes_max + 1)
    if len(body) > bytes_max:
        raise errors.TooLarge(f"the file is larger than {bytes_max} bytes")
    return body


def _move(path: Path, folder: Path, ending: str, note: bytes) -> None:
    """Write the note, then move the file beside it, under a name that is free. Blocking.

    In this order, so that a file in done/ or failed/ always has its note. Whoever dies between the two leaves a note
    without a file, and the file is taken again under the next free name.
    """
    for number in itertools.count():
        name = f"{path.stem}.{number}{path.suffix}" if number else path.name
        if (folder / name).exists():
            continue
        with contextlib.suppress(FileExistsError), (folder / f"{name}{ending}").open("xb") as file:
            file.write(note)
            break
    with contextlib.suppress(FileNotFoundError):
        path.rename(folder / name)
