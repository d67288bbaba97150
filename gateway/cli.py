"""The command `sundbro`: arguments only. What a command does stands in gateway/app."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gateway import settings as setting
from gateway.errors import SundbroError

app = typer.Typer(
    name="sundbro",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""A health data-sharing gateway: hospital, municipal and home feeds into FHIR R4, shared through a FHIR API.

Start with **sundbro demo**. Every setting is an environment variable SUNDBRO_… or a line of a settings file:
**sundbro doctor** shows them and says what is wrong.""",
)

Feed = Annotated[str, typer.Argument(metavar="FEED", help="hospital, municipal, home, or one of your own feed files.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Message files: .hl7, .json, .ndjson, .xml.")]


def _settings() -> setting.Settings:
    return setting.load(os.environ)


def _run(work: Any) -> Any:
    """Run a coroutine to its end; tell a known failure in one line and exit 2."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def up() -> None:
    """Run the gateway: every role of SUNDBRO_ROLES, until Ctrl-C or SIGTERM.

    Opens the MLLP door, the HTTP door and the FHIR API; starts the embedded PostgreSQL when no database is named.
    """
    # until the loop takes care of it: an exception in the middle of an import may be lost in a library, and Ctrl-C with it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from gateway.app import run  # noqa: PLC0415  commands that need little start fast

    raise typer.Exit(run.up(_settings()))


@app.command()
def demo(
    seconds: Annotated[
        float, typer.Option(min=0, help="End by itself after so long, and say whether the sum adds up; 0: at Ctrl-C.")
    ] = 0.0,
    citizens: Annotated[int, typer.Option(min=1, help="Synthetic citizens.")] = 500,
    rate: Annotated[float, typer.Option(min=0.1, help="Messages a second over all feeds.")] = 60.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same citizens.")] = 1,
) -> None:
    """Run the whole gateway and feed it with synthetic citizens: a live table, and addresses to try with curl.

    Uses SUNDBRO_DATA when it is set, else a folder of its own that goes away in the end. Exit status 1 when what was
    received is not what was stored, rejected, duplicate or waiting.
    """
    from gateway.app import demo as show  # noqa: PLC0415

    raise typer.Exit(show.demo(os.environ, show.Wishes(seconds, citizens, rate, seed)))


@app.command()
def send(
    feed: Feed,
    files: Files,
    mllp: Annotated[
        bool | None, typer.Option("--mllp/--http", help="Which door; default: MLLP for HL7 v2, else HTTP.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until each message is stored or rejected.")
    ] = True,
) -> None:
    """Send message files through the real door of a running gateway and print what became of each, a JSON object a message."""
    from gateway.app import sending  # noqa: PLC0415

    raise typer.Exit(_run(sending.send(_settings(), feed, files, mllp=mllp, wait=wait)))


@app.command()
def translate(feed: Feed, files: Files) -> None:
    """Print the FHIR resources of messages, or their rejection; store nothing. One JSON object a message.

    `{"file", "resources": […]}` or `{"file", "rejected": [{"code", "at", "text"}]}`. Exit 0 unless there is a bug.
    """
    from gateway.app import translating  # noqa: PLC0415

    translating.print_translations(_settings(), feed, files)


@app.command()
def explain(
    resource: Annotated[str, typer.Argument(metavar="TYPE/ID", help="Observation/abc…")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Show where each element of a stored resource came from: element ← rule (official row) ← source field ← raw record."""
    from gateway.app import asking  # noqa: PLC0415

    raise typer.Exit(_run(asking.explain(_settings(), resource, as_json=as_json)))


@app.command()
def feeds(
    resume: Annotated[
        str, typer.Option(metavar="FEED", help="Let a feed that its rejection limit stopped go on.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Show every feed: received, stored, rejected, duplicate, waiting, lag, and whether it is stopped."""
    from gateway.app import asking  # noqa: PLC0415

    raise typer.Exit(_run(asking.feeds(_settings(), resume=resume, as_json=as_json)))


@app.command()
def rejected(
    feed: Feed,
    count: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    raw: Annotated[
        str, typer.Option(metavar="RECEIPT", help="Write the raw message of one receipt to standard output.")
    ] = "",
) -> None:
    """List messages of a feed that were rejected, whole or in part, with their reasons, one JSON object a line.

    `state` says which: `rejected`, or `stored` where some of it was refused and the rest, named in `resources`, is good.
    """
    from gateway.app import asking  # noqa: PLC0415

    raise typer.Exit(_run(asking.rejected(_settings(), feed, count=count, raw=raw)))


@app.command()
def replay(
    feed: Feed,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Translate a feed's raw records again with the present mapping, and bring the store to what they now say.

    With --dry-run: which resources would be added, changed, gone. Rejected messages that are good now are stored.
    """
    from gateway.app import replaying  # noqa: PLC0415

    raise typer.Exit(_run(replaying.replay(_settings(), feed, dry_run=dry_run, as_json=as_json)))


@app.command()
def token(
    name: Annotated[str, typer.Option("--as", metavar="NAME", help="One of the local issuer's test actors.")] = "",
    scope: Annotated[list[str] | None, typer.Option(help="Scopes instead of the actor's own; may be repeated.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the test actors.")] = False,
) -> None:
    """Print a bearer token of the local issuer: without options one that may read and write all and post to the three feeds.

    For development only: the local issuer refuses to exist in production.
    """
    from gateway.app import tokens  # noqa: PLC0415

    tokens.print_token(_settings(), name, scope or [], listing=listing)


audit = typer.Typer(no_args_is_help=True, help="Verify the audit ledger, prove one of its records, and look after it.")
app.add_typer(audit, name="audit")


@audit.command()
def verify(
    witness: Annotated[
        Path | None,
        typer.Option(help="What a witness was told: a file of checkpoints; default: the one of the settings."),
    ] = None,
    key: Annotated[
        list[Path] | None,
        typer.Option(
            help="Public key (PEM) of the ledger, kept elsewhere; may be repeated; default: the gateway's own."
        ),
    ] = None,
) -> None:
    """Read the whole audit ledger and say whether it is what was written, all of it: the first bad record of each chain.

    Prints one JSON object a finding and one with the sums. Exit status 1 when something does not hold.
    """
    from gateway.app import ledgers  # noqa: PLC0415

    raise typer.Exit(_run(ledgers.verify(_settings(), witness, key or [])))


@audit.command()
def prove(record: Annotated[str, typer.Argument(metavar="CHAIN-NUMBER", help="The id of an AuditEvent.")]) -> None:
    """Print the proof that a record is among those of a signed checkpoint: the record, its path in the tree, the checkpoint."""
    from gateway.app import ledgers  # noqa: PLC0415

    raise typer.Exit(_run(ledgers.prove(_settings(), record)))


@audit.command()
def erase(
    records: Annotated[list[str], typer.Argument(metavar="CHAIN-NUMBER…", help="The ids of AuditEvents.")],
) -> None:
    """Erase what is personal in records, for ever. The chain still holds; that it was done is on record."""
    from gateway.app import ledgers  # noqa: PLC0415

    raise typer.Exit(_run(ledgers.erase(_settings(), records)))


@audit.command()
def minlog(
    again: Annotated[bool, typer.Option("--again", help="Try entries again that wait for a person.")] = False,
) -> None:
    """Show what waits to be registered in MinLog, and what failed and why, one JSON object a line."""
    from gateway.app import ledgers  # noqa: PLC0415

    raise typer.Exit(_run(ledgers.minlog(_settings(), again=again)))


@app.command()
def client(
    action: Annotated[Literal["check"], typer.Argument(metavar="check", help="Say what is wrong with registrations.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Client registrations (TOML).")],
) -> None:
    """Check client registrations before they are put in the folder SUNDBRO_CLIENTS: what each may ask for, or what is wrong.

    Exit status 1 when one of them cannot be used. docs/how-to/register-client.md explains every line.
    """
    from gateway.app import clients  # noqa: PLC0415

    del action  # there is one
    raise typer.Exit(clients.check(files))


@app.command()
def doctor() -> None:
    """Check settings, feeds, mappings, folders, database, backbone and ports; say what is wrong and what to do."""
    from gateway.app import doctoring  # noqa: PLC0415

    raise typer.Exit(_run(doctoring.doctor(os.environ)))


def main() -> None:
    """Run the command; a failure that the house knows by name is one line on standard error and exit status 2."""
    try:
        app()
    except SundbroError as error:
        sys.stderr.write(f"sundbro: {error.text}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
