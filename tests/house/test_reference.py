"""The reference is made from the code and is true: settings, metrics, feed lines, rejection reasons, verbs, routes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gateway import cli
from gateway.serve.routes import TABLE

ROOT = Path(__file__).resolve().parents[2]


def test_the_pages_made_from_the_code_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "tools/make_reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_interaction_of_the_api_has_its_line() -> None:
    page = (ROOT / "docs/reference/api.md").read_text("utf-8")
    for route in TABLE:
        assert f"/fhir{route.pattern}" in page, route.pattern


def test_the_readme_names_every_verb_and_no_other() -> None:
    verbs = {command.callback.__name__ for command in cli.app.registered_commands if command.callback}
    verbs |= {group.name for group in cli.app.registered_groups if isinstance(group.name, str)}
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {verb for verb in verbs if verb in readme} == verbs
    assert set(re.findall(r"`?sundbro ([a-z]+)", readme)) <= verbs | {"is"}


def test_every_make_verb_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    verbs = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert verbs
    for verb in verbs[1].split():
        assert re.search(rf"^{verb}:.*## .+$", makefile, re.MULTILINE), verb


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("adapters/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
