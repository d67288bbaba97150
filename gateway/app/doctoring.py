"""`sundbro doctor`: each thing that must hold for a gateway to start, looked at, with what to do where it does not."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.table import Table

from gateway import settings as setting
from gateway.app import ports, tls
from gateway.app.beside import beside
from gateway.app.feeds import stations_of
from gateway.app.run import refuse_unsafe
from gateway.errors import SundbroError
from gateway.settings import Settings

FREE_BYTES_MIN = 2 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend` says what to do when it is not well."""

    what: str
    well: bool
    found: str
    mend: str = ""


async def doctor(environment: Mapping[str, str]) -> int:
    """Print findings; return 1 when something is not well."""
    console = Console(soft_wrap=not sys.stdout.isatty())
    try:
        settings = setting.load(environment)
    except SundbroError as error:
        console.print(f"[red]settings[/]: {error.text}")
        return 1
    table = Table("setting", "value", title="settings", title_justify="left")
    for name, value in settings.masked().items():
        if value != Settings.model_fields[name].default and str(value) != str(Settings.model_fields[name].default):
            table.add_row(f"SUNDBRO_{name.upper()}", str(value))
    console.print(table if table.row_count else "settings: all defaults")
    findings = [await _look(check, settings) for check in CHECKS]
    for one in findings:
        mark = "[green]ok [/]" if one.well else "[red]NOT[/]"
        console.print(f"{mark} {one.what}: {one.found}" + (f" → {one.mend}" if one.mend and not one.well else ""))
    return 0 if all(one.well for one in findings) else 1


async def _look(check: Callable[[Settings], Awaitable[Finding]], settings: Settings) -> Finding:
    what = (check.__doc__ or "").partition(".")[0].removeprefix("Look at the ").removeprefix("Look at ")
    try:
        return await check(settings)
    except SundbroError as error:
        return Finding(what, well=False, found=error.text)
    except OSError as error:
        return Finding(what, well=False, found=f"{error.filename or settings.data}: {error.strerror}")


async def _folder(settings: Settings) -> Finding:
    """Look at the data folder."""
    settings.data.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(settings.data).free
    writable = os.access(settings.data, os.W_OK)
    return Finding(
        "data folder",
        well=writable and free > FREE_BYTES_MIN,
        found=f"{settings.data.resolve()}, {free >> 30} GiB free{'' if writable else ', not writable'}",
        mend="give it space and this user the right to write",
    )


async def _feeds(settings: Settings) -> Finding:
    """Look at feeds, adapters and mapping tables."""
    stations = stations_of(settings)
    tables = next(iter(stations.values())).context.tables.names() if stations else []
    return Finding("feeds", well=bool(stations), found=f"{', '.join(stations)}; {len(tables)} mapping tables")


async def _safety(settings: Settings) -> Finding:
    """Look at safety."""
    refuse_unsafe(settings)
    tls.of_https(settings)
    return Finding("safety", well=True, found=f"nothing unsafe for {settings.environment}")


async def _ports(settings: Settings) -> Finding:
    """Look at the ports, or the gateway that has them."""
    try:
        async with httpx.AsyncClient(base_url=f"http://{settings.http}", timeout=3) as client:
            answer = await client.get("/readyz")
        checks = ", ".join(f"{part} {state}" for part, state in answer.json()["checks"].items())
        return Finding("gateway", well=answer.status_code == httpx.codes.OK, found=f"runs at {settings.http}: {checks}")
    except (httpx.HTTPError, ValueError, KeyError):
        pass
    taken = [
        address
        for address in (settings.http, settings.https, settings.mllp, settings.mllp_tls)
        if address and not ports.free(address)
    ]
    return Finding(
        "ports",
        well=not taken,
        found=f"{', '.join(taken)} taken by another program" if taken else "no gateway runs, its ports are free",
        mend="set SUNDBRO_HTTP and SUNDBRO_MLLP to free ports",
    )


async def _engines(settings: Settings) -> Finding:
    """Look at database and backbone."""
    async with beside(settings) as parts:
        await parts.store.ready()
        await parts.backbone.ready()
        stopped = await parts.store.stopped_feeds()
    database = "named" if settings.database_url else "embedded"
    where = f"{database} PostgreSQL, {'Kafka' if settings.kafka else 'embedded'} backbone"
    return Finding(
        "engines",
        well=not stopped,
        found=where + (f"; stopped feeds: {', '.join(stopped)}" if stopped else ""),
        mend="sundbro rejected FEED, then sundbro feeds --resume FEED",
    )


CHECKS = (_folder, _feeds, _safety, _ports, _engines)
