"""`sundbro send`: message files through the real door of a running gateway, as their sender would send them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import orjson
from rich.console import Console
from rich.progress import Progress

from gateway.app import tokens
from gateway.app.feeds import station_of, stations_of
from gateway.app.files import content_type_of, messages
from gateway.app.mllp_client import MllpClient, answered
from gateway.errors import Misconfigured, Unavailable
from gateway.settings import Settings
from gateway.translate.registry import Station

POLL_SECONDS = 0.1
WAIT_SECONDS_MAX = 60.0


async def send(settings: Settings, feed: str, files: list[Path], *, mllp: bool | None, wait: bool) -> int:
    """Send files in order; print one JSON object a message. Returns 1 when a door did not take one."""
    station = station_of(stations_of(settings), feed)
    by_mllp = "mllp" in station.feed.doors and bool(settings.mllp) if mllp is None else mllp
    if (door := "mllp" if by_mllp else "http") not in station.feed.doors:
        raise Misconfigured(
            f"the feed {feed} takes nothing through {door}; its doors are {', '.join(station.feed.doors)}"
        )
    if by_mllp and not settings.mllp:
        raise Misconfigured("SUNDBRO_MLLP is empty: the MLLP door is closed")
    for path in files:
        if not os.access(path, os.R_OK) or path.is_dir():
            raise Misconfigured(f"{path} is not a file that can be read; nothing was sent")
    shown = sys.stderr.isatty() and len(files) > 1
    failed = False
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as progress:
        task = progress.add_task(f"sending to {feed}", total=len(files))
        sender = _by_mllp if by_mllp else _by_http
        async for answer in sender(settings, station, files, wait=wait):
            failed |= answer.pop("failed", False)
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
            sys.stdout.flush()
            progress.update(task, completed=files.index(Path(answer["file"])) + 1)
    return 1 if failed else 0


async def _by_mllp(settings: Settings, station: Station, files: list[Path], *, wait: bool) -> Any:
    """Yield `{"file", "ack", "control_id"}`: an HL7 v2 sender gets an ACK and no receipt, so there is nothing to wait for."""
    del wait
    host, _, port = settings.mllp.rpartition(":")
    async with MllpClient(host, int(port), seconds_max=settings.ack_seconds_max + 5) as client:
        for path in files:
            for found in messages(path, station):
                if found.piece is None:
                    yield {
                        **found.place,
                        "refused": found.reason.as_json() if found.reason else {},
                        "failed": True,
                    }
                    continue
                ack = await client.send(found.piece.body)
                code, control_id = answered(ack)
                answer = {**found.place, "ack": code, "control_id": control_id}
                yield {**answer, "failed": code not in {"AA", "CA"}}


async def _by_http(settings: Settings, station: Station, files: list[Path], *, wait: bool) -> Any:
    """Yield what the receipt of each message said in the end (or at once, without `wait`)."""
    base = settings.public_url or f"http://{settings.http}"
    headers = {"Authorization": f"Bearer {tokens.mint(settings, '', [])}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=settings.ack_seconds_max + 5) as client:
        for path in files:
            body = path.read_bytes()
            kind = content_type_of(path, body, station.feed)
            try:
                answer = await client.post(f"/ingest/{station.feed.name}", content=body, headers={"Content-Type": kind})
            except httpx.TransportError as error:
                raise Unavailable(f"no gateway at {base}") from error
            said = answer.json()
            if answer.status_code != httpx.codes.ACCEPTED:
                yield {"file": str(path), "status": answer.status_code, "problem": said, "failed": True}
                continue
            receipts = said if isinstance(said, list) else [said]
            for receipt in receipts:
                outcome = await _outcome(client, receipt["status"]) if wait and "status" in receipt else {}
                yield {"file": str(path), **receipt, **outcome, "failed": "receipt" not in receipt}


async def _outcome(client: httpx.AsyncClient, status: str) -> dict[str, Any]:
    for _ in range(int(WAIT_SECONDS_MAX / POLL_SECONDS)):
        said: dict[str, Any] = (await client.get(status)).json()
        if said.get("state") != "waiting":
            return said
        await asyncio.sleep(POLL_SECONDS)
    return {"state": "waiting"}
