"""Write docs/reference/*.md from the code: settings, metrics, feed files, rejection reasons, the command.

python tools/make_reference.py          write them
python tools/make_reference.py --check  say which are not true any more, exit 1
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import typer  # noqa: E402

from gateway import cli  # noqa: E402
from gateway.audit.record import _EVENT, _PERSONAL  # noqa: E402
from gateway.audit.vocabulary import MEANINGS, Event  # noqa: E402
from gateway.model import RejectionCode  # noqa: E402
from gateway.observe.catalogue import METRICS  # noqa: E402
from gateway.settings import PREFIX, Settings  # noqa: E402
from gateway.translate.feeds import FeedFile  # noqa: E402

NOTE = "*Made from the code by `make docs`; a house test keeps it true.*\n\n"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    return (
        "\n".join(lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]) + "\n"
    )


def kind(annotation: object) -> str:
    return re.sub(r"typing\.|pathlib\.|<class '|'>", "", str(annotation)).replace("NoneType", "none")


def settings() -> str:
    rows = [
        (
            f"`{PREFIX}{name.upper()}`",
            kind(field.annotation),
            f"`{field.default}`" if field.default not in ("", None) else "",
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Settings\n\n"
        + NOTE
        + "Each is an environment variable, or a line `name = value` (name without the prefix, in small letters) of the\n"
        "settings file: `SUNDBRO_SETTINGS`, else `sundbro.toml` in the data folder. The environment wins. A name that does\n"
        "not exist is refused.\n\n" + table(("setting", "type", "default", "meaning"), rows)
    )


def metrics() -> str:
    rows = [(f"`{m.name}`", m.kind, ", ".join(m.labels), m.meaning, m.advice) for m in METRICS]
    return (
        "# Metrics\n\n"
        + NOTE
        + "`GET /metrics`, Prometheus text. No label holds a person, a receipt or a URL.\n\n"
        + table(("metric", "kind", "labels", "what it counts", "what to do about it"), rows)
    )


def feeds() -> str:
    rows = [
        (
            f"`{name}`",
            kind(field.annotation),
            f"`{field.default}`"
            if field.default not in ("", None) and not field.is_required() and field.default_factory is None
            else "",
            field.description or "",
        )
        for name, field in FeedFile.model_fields.items()
    ]
    return (
        "# Feed files\n\n"
        + NOTE
        + "A feed is one sender using one format: a TOML file. `adapters/<format>/feed.toml` comes with the format;\n"
        "`SUNDBRO_FEEDS` names a folder with more of them, or with files that replace one by its name.\n\n"
        + table(("line", "type", "default", "meaning"), rows)
    )


def rejections() -> str:
    tree = ast.parse((ROOT / "gateway/model.py").read_text())
    text = (ROOT / "gateway/model.py").read_text().splitlines()
    meanings: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "RejectionCode":
            for line in node.body:
                if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant):
                    meanings[str(line.value.value)] = text[line.lineno - 1].partition("#")[2].strip()
    rows = [(f"`{code.value}`", meanings.get(code.value) or code.value.replace("-", " ")) for code in RejectionCode]
    return (
        "# Rejection reasons\n\n"
        + NOTE
        + "A rejected message, or reading, has one or more of these with a pointer into the message and words.\n\n"
        + table(("code", "meaning"), rows)
    )


def comments(path: str, kind: str) -> dict[str, str]:
    """The comment behind each member of an enum."""
    source = (ROOT / path).read_text()
    lines = source.splitlines()
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == kind:
            for line in node.body:
                if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant):
                    found[str(line.value.value)] = lines[line.lineno - 1].partition("#")[2].strip()
    return found


def fields(path: str, kind: str) -> dict[str, str]:
    """The docstring under each field of a dataclass, in one line."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ClassDef) and node.name == kind:
            for line, after in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                    text = (
                        after.value.value
                        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                        else ""
                    )
                    found[line.target.id] = " ".join(str(text).split())
    return found


def audit() -> str:
    told = fields("gateway/audit/record.py", "Record")
    rows = [
        (f"`{event.value}`", MEANINGS[event].action, MEANINGS[event].subtype, MEANINGS[event].text) for event in Event
    ]
    names = [
        (f"`{name}`", f"`{short}`", line, told[name])
        for line, shorts in (("event", _EVENT), ("personal", _PERSONAL))
        for name, short in shorts.items()
    ]
    wrongs = [(f"`{one}`", text) for one, text in comments("gateway/audit/verify.py", "Wrong").items()]
    return (
        "# Audit\n\n"
        + NOTE
        + "[Why it is as it is](../explanation/audit.md); [how to verify it](../how-to/audit.md).\n\n"
        + "## Events\n\n"
        + table(("event", "AuditEvent.action", "restful-interaction", "meaning"), rows)
        + "\n## Fields of a record\n\nEach is in one of two lines of JSON, under its short name; what is empty is left out. "
        + "`personal` can be erased.\n\n"
        + table(("field", "short", "line", "meaning"), names)
        + "\n## What `sundbro audit verify` may find\n\n"
        + table(("wrong", "meaning"), wrongs)
    )


def command() -> str:
    group = typer.main.get_command(cli.app)
    context = typer.Context(group, info_name="sundbro")
    parts = ["# The command `sundbro`\n\n" + NOTE]
    verbs = []
    for name in group.list_commands(context):  # type: ignore[attr-defined]
        verb = group.get_command(context, name)  # type: ignore[attr-defined]
        inner = typer.Context(verb, info_name=name, parent=context)
        several = getattr(verb, "list_commands", None)
        if several is None:
            verbs.append((name, verb))
        else:
            verbs += [(f"{name} {one}", verb.get_command(inner, one)) for one in several(inner)]
    for name, verb in verbs:
        assert verb is not None
        inner = typer.Context(verb, info_name=name, parent=context)
        usage = " ".join(piece for param in verb.get_params(inner) for piece in param.get_usage_pieces(inner))
        options = [
            (
                ", ".join(f"`{option}`" for option in [*param.opts, *param.secondary_opts]),
                getattr(param, "help", None) or "",
            )
            for param in verb.get_params(inner)
            if param.name != "help"
        ]
        text = re.sub(r"\n\s*", "\n", (verb.help or "").strip())
        parts.append(
            f"## sundbro {name}\n\n`sundbro {name} [OPTIONS] {usage}`\n\n{text}\n"
            + ("\n" + table(("argument", "meaning"), options) if options else "")
        )
    return "\n".join(parts)


PAGES = {
    "settings.md": settings,
    "metrics.md": metrics,
    "feeds.md": feeds,
    "rejections.md": rejections,
    "command.md": command,
    "audit.md": audit,
}


def main() -> int:
    folder = ROOT / "docs" / "reference"
    folder.mkdir(parents=True, exist_ok=True)
    stale = []
    for name, make in PAGES.items():
        path, text = folder / name, make()
        if not path.is_file() or path.read_text("utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, "utf-8")
    print("stale: " + ", ".join(stale) if "--check" in sys.argv and stale else f"docs/reference: {len(PAGES)} pages")
    return 1 if "--check" in sys.argv and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
