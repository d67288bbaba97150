"""Feed files: one TOML a sender. Read at start, checked whole, told to the doors and the translators as `model.Feed`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import pydantic

from gateway.errors import Misconfigured
from gateway.model import Feed

_Name = Annotated[str, pydantic.Field(pattern="^[a-z][a-z0-9-]{0,40}$")]
_Share = Annotated[float, pydantic.Field(gt=0, le=1)]


class FeedFile(pydantic.BaseModel):
    """The lines of a feed file. docs/reference/feeds.md is made from these descriptions."""

    model_config = pydantic.ConfigDict(extra="forbid")

    name: _Name = pydantic.Field(description="Name of the feed, in addresses, topics and metrics.")
    format: str = pydantic.Field(description="Folder in adapters/ that reads it.")
    title: str = pydantic.Field("", description="For people.")
    organisation: str = pydantic.Field("", description="The sender's organisation, named in Provenance.")
    organisation_sor: str = pydantic.Field("", description="Its SOR code.")
    charset: str = pydantic.Field("utf-8", description="Character set where a message does not name one.")
    timezone: str = pydantic.Field(
        "Europe/Copenhagen", description="Zone of times that carry none, with its daylight-saving rules."
    )
    content_types: list[str] = pydantic.Field(default_factory=list, description="Content types the HTTP door takes.")
    doors: list[Literal["http", "mllp", "files"]] = pydantic.Field(
        default=["http"], description="Doors it may come through."
    )
    systems: dict[str, str] = pydantic.Field(
        default_factory=dict, description="The sender's own names of identifier and code systems → URI."
    )
    message_bytes_max: int = pydantic.Field(10 << 20, gt=0, description="Largest message.")
    rejection_share_max: _Share = pydantic.Field(
        0.8, description="The feed stops when more than this share of the last messages was rejected."
    )
    rejection_window: int = pydantic.Field(500, ge=20, description="How many last messages that share is taken of.")
    accept_test_messages: bool | None = pydantic.Field(
        None, description="Take messages marked training or debugging; not said: everywhere but in production."
    )
    mutual_tls: bool = pydantic.Field(False, description="MLLP only with a client certificate.")
    options: dict[str, Any] = pydantic.Field(
        default_factory=dict, description="What only this format reads; its README names them."
    )
    samples: str = pydantic.Field("", description="Folder of golden pairs.")


def parse(text: str, *, where: str, production: bool = False) -> Feed:
    """Return the feed of one file. Raises Misconfigured naming the file and every wrong line."""
    try:
        file = FeedFile.model_validate(tomllib.loads(text))
        ZoneInfo(file.timezone)
        "".encode(file.charset)
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{where}: {error}") from error
    except pydantic.ValidationError as error:
        lines = "; ".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        raise Misconfigured(f"{where}: {lines}") from None
    except (KeyError, ValueError, LookupError) as error:
        raise Misconfigured(f"{where}: no such time zone or character set") from error
    return Feed(
        **{
            **file.model_dump(),
            "content_types": tuple(kind.lower() for kind in file.content_types),
            "doors": tuple(file.doors),
            "accept_test_messages": not production if file.accept_test_messages is None else file.accept_test_messages,
        }
    )


def load(adapters: Path, more: Path | None, *, production: bool = False) -> Mapping[str, Feed]:
    """Read `<adapters>/*/feed.toml`, then the files of `more`, which add feeds or replace them by name."""
    paths = sorted(adapters.glob("*/feed.toml"))
    if more is not None:
        if not more.is_dir():
            raise Misconfigured(f"the feeds folder {more} does not exist")
        paths += sorted(more.glob("*.toml"))
    feeds: dict[str, Feed] = {}
    for path in paths:
        feed = parse(path.read_text("utf-8"), where=str(path), production=production)
        feeds[feed.name] = feed
    return feeds
