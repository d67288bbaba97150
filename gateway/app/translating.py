"""`sundbro translate`: what a message would become, and nothing stored."""

from __future__ import annotations

import datetime as dt
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from gateway.app.feeds import station_of, stations_of
from gateway.app.files import Found, messages
from gateway.clock import Clock, SystemClock
from gateway.formats.json import dumps
from gateway.model import Lane, RawMessage, reasons_json
from gateway.settings import Settings
from gateway.translate.prepare import judged
from gateway.translate.registry import Station


def translate_files(paths: list[Path], station: Station, clock: Clock) -> Iterator[dict[str, Any]]:
    """Yield one object a message: `{"file", "resources"}`, `{"file", "rejected"}`, or both where readings stand on
    their own and some were rejected. The Provenance that the store adds to each message is left out.
    """
    for path in paths:
        try:
            found = list(messages(path, station))
        except OSError as error:
            yield {
                "file": str(path),
                "rejected": [{"code": "malformed", "at": "", "text": error.strerror or "cannot be read"}],
            }
            continue
        for one in found:
            yield _translated(one, station, clock.now())


def _translated(found: Found, station: Station, now: dt.datetime) -> dict[str, Any]:
    if found.piece is None:
        return {**found.place, "rejected": reasons_json([found.reason] if found.reason else [])}
    raw = RawMessage(
        feed=station.feed.name,
        receipt="translate",
        body=found.piece.body,
        content_type=found.content_type,
        lane=Lane(""),
        received_at=now,
        control_id=found.piece.control_id,
    )
    translation = station.adapter.translate(raw, station.context)
    broken = judged(translation)
    reasons = [*translation.reasons, *broken]
    answer: dict[str, Any] = {**found.place}
    if not broken and (translation.changes or not reasons):
        answer["resources"] = [change.resource for change in translation.changes]
    if reasons:
        answer["rejected"] = reasons_json(reasons)
    return answer


def print_translations(settings: Settings, feed: str, paths: list[Path]) -> None:
    """Print one JSON object a message. Ids are those of the gateway in the data folder when it has its secret there."""
    secret = settings.data / "keys" / "ids.secret"
    if not settings.id_secret and not secret.is_file():
        settings = settings.model_copy(update={"id_secret": hashlib.sha256(b"sundbro translate").hexdigest()})
    station = station_of(stations_of(settings), feed)
    shown = sys.stderr.isatty() and len(paths) > 1
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:
        task = progress.add_task(f"translating for {feed}", total=len(paths))
        for path in paths:
            for answer in translate_files([path], station, SystemClock()):
                sys.stdout.buffer.write(dumps(answer) + b"\n")
            progress.advance(task)
    sys.stdout.flush()
