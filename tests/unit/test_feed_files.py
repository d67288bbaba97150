"""Feed files: every one that comes with the gateway loads; a wrong line is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import Misconfigured
from gateway.translate import feeds, registry


def test_the_feeds_that_come_with_the_gateway_load_and_have_their_adapters() -> None:
    from gateway.fhir.ids import Ids

    found = registry.stations(feeds.load(registry.ADAPTERS, None), Ids(b"0123456789abcdef"))
    assert {"hospital", "municipal", "home"} <= found.keys()
    assert all(len(station.mapping) == 12 for station in found.values())


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('name = "x"', "format"),
        ('name = "X y"\nformat = "f"', "name"),
        ('name = "x"\nformat = "f"\ntimezone = "Mars/Olympus"', "time zone"),
        ('name = "x"\nformat = "f"\ncharset = "ebcdic-9"', "character set"),
        ('name = "x"\nformat = "f"\nlane = 1', "lane"),
        ('name = "x"\nformat = "f"\ndoors = ["ftp"]', "doors"),
        ("name = ", "Invalid value"),
    ],
)
def test_a_wrong_line_is_refused_and_named(text: str, word: str) -> None:
    with pytest.raises(Misconfigured, match=word):
        feeds.parse(text, where="x.toml")


def test_a_feed_without_an_adapter_is_refused(tmp_path: Path) -> None:
    from gateway.fhir.ids import Ids

    (tmp_path / "a.toml").write_text('name = "a"\nformat = "nothing_like_it"')
    with pytest.raises(Misconfigured, match="nothing_like_it"):
        registry.stations(feeds.load(tmp_path / "none", tmp_path), Ids(b"0123456789abcdef"))


def test_a_file_of_ones_own_replaces_by_name(tmp_path: Path) -> None:
    (tmp_path / "h.toml").write_text('name = "hospital"\nformat = "hospital_hl7v2"\ntitle = "Mine"')
    assert feeds.load(registry.ADAPTERS, tmp_path)["hospital"].title == "Mine"


def test_test_messages_are_taken_everywhere_but_in_production_unless_the_file_says_otherwise() -> None:
    text = 'name = "a"\nformat = "f"\n'
    assert feeds.parse(text, where="a").accept_test_messages
    assert not feeds.parse(text, where="a", production=True).accept_test_messages
    assert feeds.parse(text + "accept_test_messages = true", where="a", production=True).accept_test_messages
    assert not feeds.parse(text + "accept_test_messages = false", where="a").accept_test_messages
