"""Which feed, which verdict: what the MLLP door decides from MSH and certificate alone."""

from __future__ import annotations

import pytest

from gateway.errors import Misconfigured
from gateway.formats import er7
from gateway.model import Feed, RejectionCode
from gateway.receive import mllp_rules
from gateway.receive.mllp_rules import Routes, subjects


def feed(name: str, *, mutual_tls: bool = False, **options: object) -> Feed:
    return Feed(name=name, format="er7", doors=("mllp",), mutual_tls=mutual_tls, options=options)


def seen(application: str, facility: str) -> er7.Peek:
    return er7.peek(f"MSH|^~\\&|{application}|{facility}|||||ADT^A01|1|P|2.5\r".encode())


def found(routes: Routes, application: str, facility: str, subject: list[str] | None = None) -> str:
    feed = routes.find(seen(application, facility), subject)
    return feed.name if feed else ""


def test_one_feed_without_senders_takes_everybody():
    assert found(Routes([feed("hospital")]), "ANY", "BODY") == "hospital"


def test_a_named_sender_goes_before_anybody_whatever_the_order():
    for feeds in ([feed("a"), feed("b", mllp_senders=["EPJ|RH"])], [feed("b", mllp_senders=["EPJ|RH"]), feed("a")]):
        assert found(Routes(feeds), "EPJ", "RH") == "b"
        assert found(Routes(feeds), "EPJ^1.2.3^ISO", "RH^x") == "b"
        assert found(Routes(feeds), "EPJ", "OUH") == "a"


def test_a_star_is_any_facility_and_a_whole_field_may_be_named():
    routes = Routes([feed("a", mllp_senders=["EPJ|*", "LIS^1.2^ISO|OUH"])])
    assert found(routes, "EPJ", "") == "a"
    assert found(routes, "LIS^1.2^ISO", "OUH") == "a"
    assert found(routes, "LIS^1.3^ISO", "OUH") == ""


def test_two_feeds_for_everybody_refuse_to_start():
    with pytest.raises(Misconfigured, match=r"a and b"):
        Routes([feed("a"), feed("b")])
    Routes([feed("a"), feed("b", mutual_tls=True)])
    Routes([feed("a"), feed("b", mllp_certificates=["x"])])


@pytest.mark.parametrize("options", [{"mllp_senders": "EPJ|RH"}, {"mllp_senders": ["EPJ"]}, {"mllp_certificates": [1]}])
def test_options_of_another_shape_refuse_to_start(options: dict):
    with pytest.raises(Misconfigured, match="feed a"):
        Routes([feed("a", **options)])


def test_a_certificate_opens_the_feeds_that_name_it_and_no_other():
    routes = Routes([feed("open"), feed("lab", mllp_certificates=["lis.example.org"]), feed("tls", mutual_tls=True)])
    assert found(routes, "X", "Y") == "open"
    assert found(routes, "X", "Y", ["CN=lis.example.org", "lis.example.org"]) == "lab"
    assert found(routes, "X", "Y", ["CN=other", "other"]) == "tls"
    assert [one.name for one in routes.open_to(None)] == ["open"]


def test_a_subject_is_known_whole_and_by_its_common_name():
    certificate = {"subject": ((("countryName", "DK"),), (("organizationName", "Region"),), (("commonName", "lis"),))}
    assert subjects(certificate) == ["CN=lis,O=Region,C=DK", "lis"]
    assert subjects(None) is subjects({}) is None


def test_every_rejection_has_a_verdict_of_table_0357():
    assert set(mllp_rules._VERDICTS) <= set(RejectionCode)
    assert {error for _, error in mllp_rules._VERDICTS.values()} <= {
        "100",
        "101",
        "102",
        "103",
        "200",
        "202",
        "203",
        "204",
    }
