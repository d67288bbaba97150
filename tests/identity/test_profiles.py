"""Claim sets of each broker, as their documentation writes them, become one log-in. Synthetic, with test numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.access import Assurance, Kind
from gateway.errors import Misconfigured
from gateway.fhir import persons
from gateway.identity.login import profiles, providers
from gateway.identity.login.faults import Fault, LoginFailed
from gateway.identity.login.mapping import login_of
from gateway.identity.login.profiles import PROFILES, Wish
from gateway.identity.login.providers import Provider
from tests.identity.house import IDS, NOW

CPR = "2512489996"
RECORD = f"Patient/{IDS.patient(persons.PersonKey(persons.CPR, CPR))}"
NSIS = "https://data.gov.dk/concept/core/nsis/"
NEB = {
    "iss": "https://pp.netseidbroker.dk/op", "sub": "8f1f2d6e-0000-4000-8000-000000000001", "idp": "mitid", "identity_type": "private",
    "neb_sid": "s-1", "transaction_id": "t-1", "loa": f"{NSIS}Substantial", "ial": f"{NSIS}High", "aal": f"{NSIS}Substantial",
    "amr": ["mitid.password", "code_app"], "mitid.uuid": "74ffcd31-0000-4000-8000-000000000001", "mitid.identity_name": "Borger Prøve",
    "mitid.has_cpr": "true", "dk.cpr": CPR, "mitid.date_of_birth": "1948-12-25", "mitid.age": "77",
}  # fmt: skip
ERHVERV = {
    "sub": "8f1f2d6e-0000-4000-8000-000000000002", "idp": "mitid_erhverv", "identity_type": "professional", "loa": f"{NSIS}High",
    "ial": f"{NSIS}High", "aal": f"{NSIS}High", "nemlogin.cvr": "12345678", "nemlogin.org_name": "Prøveregionen",
    "nemlogin.persistent_professional_id": "prof-1", "nemlogin.p_number": "1000000001", "nemlogin.name": "Læge Prøve",
    "nemlogin.nemid.rid": "11", "nemlogin.cpr": CPR,
}  # fmt: skip
IDURA = {
    "identityscheme": "dkmitid", "nameidentifier": "0f9960a0d28d4353a3e2ea07f8ffa185", "sub": "{0f9960a0-d28d-4353-a3e2-ea07f8ffa185}",
    "uuid": "74ffcd31-0000-4000-8000-000000000001", "cprNumberIdentifier": CPR, "birthdate": "1948-12-25", "age": "77", "name": "Borger Prøve",
    "country": "DK", "authenticationtype": "urn:grn:authn:dk:mitid:substantial",
}  # fmt: skip
IDURA_STAFF = {
    "identityscheme": "dkmitid", "sub": "{0f9960a0-0000-4353-a3e2-ea07f8ffa185}", "uuid": "prof-1", "cvrNumberIdentifier": "12345678",
    "2.5.4.10": "Prøveregionen", "employee": "true", "productionUnit": "1000000001", "ridNumberIdentifier": "11", "name": "Læge Prøve",
    "loa": "SUBSTANTIAL", "cprNumberIdentifier": CPR,
}  # fmt: skip
SIGNICAT = {
    "sub": "abc", "idp_id": "8cb1e51c-0000-4044-b9ac-8978cf1f113c", "name": "Borger Prøve", "given_name": "Borger", "family_name": "Prøve",
    "birthdate": "1948-12-25", "nin": CPR, "nin_type": "PERSON", "nin_issuing_country": "DK", "mitid_has_cpr": "true",
    "mitid_transaction_id": "t-1", "mitid_cpr_source": "user", "mitid_name_and_address_protection": "false", "mitid_ial": "HIGH",
    "mitid_loa": "HIGH", "mitid_aal": "HIGH", "mitid_fal": "HIGH", "mitid_uuid": "74ffcd31-0000-4000-8000-000000000001",
}  # fmt: skip
REGION = {
    "sub": "abcd12",
    "name": "Læge Prøve",
    "sor": "265161000016000",
    "role": "7170",
    "authorisation": "9HL7X",
    "acr": f"{NSIS}High",
    "sid": "s",
}


def provider(profile: str, **given: Any) -> Provider:
    return Provider(
        **{
            "issuer": "https://op.example", "profile": profile, "client_id": "g", "client_secret": "x", "kinds": {"citizen", "staff"},
            "organisations": {"12345678": "OUH"}, "staff": {"prof-1": {"role": "7170", "authorisation": "9HL7X"}}, **given,
        }
    )  # fmt: skip


def login(profile: str, said: dict[str, Any], **given: Any):
    return login_of("mitid", provider(profile, **given), said, IDS, NOW)


def fails(fault: Fault, profile: str, claims: dict[str, Any], **given: Any) -> None:
    with pytest.raises(LoginFailed) as failed:
        login(profile, claims, **given)
    assert failed.value.fault is fault
    assert CPR not in str(failed.value)


@pytest.mark.parametrize(
    ("profile", "claims", "level"),
    [
        ("neb", NEB, Assurance.SUBSTANTIAL),
        ("idura", IDURA, Assurance.SUBSTANTIAL),
        ("signicat", SIGNICAT, Assurance.HIGH),
    ],
    ids=["neb", "idura", "signicat"],
)
def test_a_citizen_is_the_same_person_through_every_broker(profile, claims, level):
    found = login(profile, claims)
    assert (found.kind, found.person, found.assurance, found.name) == (Kind.CITIZEN, RECORD, level, "Borger Prøve")
    assert (found.organisation, found.role) == ("", "")
    assert CPR not in repr(found)
    assert claims["sub"] not in found.subject


@pytest.mark.parametrize(("profile", "claims"), [("neb", ERHVERV), ("idura", IDURA_STAFF)], ids=["neb", "idura"])
def test_an_employee_is_the_same_through_every_broker_and_at_most_substantial(profile, claims):
    found = login(profile, claims)
    assert (found.kind, found.organisation, found.role, found.authorisation) == (Kind.STAFF, "OUH", "7170", "9HL7X")
    assert (found.assurance, found.person, found.name) == (Assurance.SUBSTANTIAL, "", "Læge Prøve")


def test_a_regions_own_provider_may_be_high_and_says_what_its_settings_say():
    found = login("oidc", REGION, kinds={"staff"})
    assert (found.organisation, found.role, found.authorisation, found.assurance) == (
        "265161000016000",
        "7170",
        "9HL7X",
        Assurance.HIGH,
    )
    other = {"sub": "x", "org": "OUH", "job": "5166", "class": "gold"}
    names = {"organisation": "org", "role": "job", "level": "class"}
    found = login("oidc", other, kinds={"staff"}, claims=names, levels={"gold": "substantial"})
    assert (found.organisation, found.role, found.assurance) == ("OUH", "5166", Assurance.SUBSTANTIAL)
    citizen = login(
        "oidc", {"sub": "x", "acr": "low", "personnummer": CPR}, kinds={"citizen"}, claims={"cpr": "personnummer"}
    )
    assert (citizen.kind, citizen.person, citizen.assurance) == (Kind.CITIZEN, RECORD, Assurance.LOW)


def test_the_narrower_unit_says_the_organisation_before_the_company():
    units = {"12345678": "WHOLE", "1000000001": "WARD"}
    assert login("neb", ERHVERV, organisations=units).organisation == "WARD"
    assert login("neb", ERHVERV, staff={"prof-1": {"role": "7170", "organisation": "OWN"}}).organisation == "OWN"


def test_whoever_runs_the_gateway_logs_in_as_staff_and_is_an_operator():
    found = login("neb", ERHVERV, staff={"prof-1": {"operator": True}}, organisations={})
    assert (found.kind, found.role) == (Kind.OPERATOR, "")


@pytest.mark.parametrize(
    ("profile", "claims", "change"),
    [
        ("neb", NEB, {"mitid.identity_name": "NAVNE & ADRESSEBESKYTTET"}),
        ("neb", NEB, {"mitid.identity_name": None}),
        ("idura", IDURA, {"name": None}),
        ("signicat", SIGNICAT, {"mitid_name_and_address_protection": "true"}),
        ("signicat", SIGNICAT, {"name": None}),
        ("neb", ERHVERV, {"nemlogin.name": None, "nemlogin.alias": "Pseudonym"}),
    ],
)
def test_a_name_may_be_absent(profile, claims, change):
    assert login(profile, {**claims, **change}).name == ""


@pytest.mark.parametrize(
    ("profile", "claims", "change", "fault"),
    [
        ("neb", NEB, {"dk.cpr": None}, Fault.NO_CPR),
        ("neb", NEB, {"dk.cpr": "3002489996"}, Fault.NO_CPR),
        ("neb", NEB, {"dk.cpr": 2512489996}, Fault.NO_CPR),
        ("neb", NEB, {"idp": "mitid_erhverv"}, Fault.INVALID),
        ("neb", NEB, {"identity_type": "professional"}, Fault.INVALID),
        ("neb", NEB, {"identity_type": "test"}, Fault.INVALID),
        ("neb", NEB, {"idp": "nemid", "identity_type": None}, Fault.INVALID),
        ("idura", IDURA, {"cprNumberIdentifier": None}, Fault.NO_CPR),
        ("idura", IDURA, {"identityscheme": "sebankid"}, Fault.NOT_THIS_WAY),
        ("idura", IDURA_STAFF, {"companySignatory": "true"}, Fault.NOT_THIS_WAY),
        ("idura", IDURA_STAFF, {"uuid": "somebody"}, Fault.UNKNOWN_EMPLOYEE),
        ("signicat", SIGNICAT, {"nin_issuing_country": "SE"}, Fault.NO_CPR),
        ("signicat", SIGNICAT, {"nin_type": "OTHER"}, Fault.NO_CPR),
        ("neb", ERHVERV, {"nemlogin.persistent_professional_id": None}, Fault.UNKNOWN_EMPLOYEE),
        ("neb", ERHVERV, {"nemlogin.cvr": None, "nemlogin.p_number": None}, Fault.UNKNOWN_EMPLOYEE),
    ],
)
def test_claims_that_do_not_say_who_it_is_let_nobody_in(profile, claims, change, fault):
    fails(fault, profile, {**claims, **change})


def test_a_citizen_at_the_staffs_log_in_and_the_other_way_round_is_sent_away():
    fails(Fault.NOT_THIS_WAY, "neb", NEB, kinds={"staff"})
    fails(Fault.NOT_THIS_WAY, "neb", ERHVERV, kinds={"citizen"})
    fails(Fault.NOT_THIS_WAY, "neb", ERHVERV, idp_values="mitid")


def test_a_test_identity_gets_in_where_the_settings_say_so():
    assert login("neb", {**NEB, "identity_type": "test"}, test_identities=True).kind is Kind.CITIZEN


def test_modulus_11_is_not_asked():
    failing = "0101909903"  # fails modulus 11, as numbers issued since 2007 do
    assert sum(int(digit) * weight for digit, weight in zip(failing, (4, 3, 2, 7, 6, 5, 4, 3, 2, 1), strict=True)) % 11
    assert (
        login("neb", {**NEB, "dk.cpr": failing}).person
        == f"Patient/{IDS.patient(persons.PersonKey(persons.CPR, failing))}"
    )


def test_a_number_may_be_written_with_a_hyphen():
    assert login("neb", {**NEB, "dk.cpr": f"{CPR[:6]}-{CPR[6:]}"}).person == RECORD


@pytest.mark.parametrize(
    "loa",
    [
        None,
        "",
        "High-ish",
        f"{NSIS}Highest",
        "https://evil.example/High",
        3,
        ["High"],
        "urn:grn:authn:dk:mitid:business",
    ],
)
@pytest.mark.parametrize("profile", ["neb", "idura"])
def test_a_level_that_is_not_known_is_none(profile, loa):
    claims = {**{"neb": NEB, "idura": IDURA}[profile], "loa": loa, "authenticationtype": None}
    assert login(profile, claims).assurance is Assurance.NONE


# --- requests ---


def asked(profile: str, kind: Kind = Kind.CITIZEN, **given: Any) -> dict[str, str]:
    wish = Wish(kind, given.pop("assurance", Assurance.SUBSTANTIAL), "da", **given)
    return PROFILES[profile].request(wish, provider(profile))


def test_each_broker_is_asked_in_its_own_words():
    neb = asked("neb", assurance=Assurance.HIGH, step_up=True)
    assert (neb["idp_values"], neb["language"]) == ("mitid", "da")
    assert json.loads(neb["idp_params"]) == {"mitid": {"loa_value": "high", "enable_step_up": True}}
    assert asked("neb", Kind.STAFF) == {"idp_values": "mitid_erhverv", "language": "da"}
    assert asked("idura") == {"acr_values": "urn:grn:authn:dk:mitid:substantial", "ui_locales": "da"}
    assert asked("idura", Kind.STAFF)["acr_values"] == "urn:grn:authn:dk:mitid:business"
    assert asked("oidc", Kind.STAFF)["acr_values"] == f"{NSIS}Substantial"


def test_the_number_is_asked_for_by_its_scope_of_citizens_alone():
    assert "ssn" in PROFILES["neb"].scopes[Kind.CITIZEN].split()
    assert "ssn" not in PROFILES["neb"].scopes[Kind.STAFF].split()
    assert profiles.numbers(provider("oidc", claims={"cpr": "personnummer"})) == {"personnummer"}


# --- the file ---

GOOD = 'issuer = "https://op.example"\nprofile = "neb"\nclient_id = "g"\nclient_key = "k.json"\n'


def test_a_file_is_read_and_its_paths_are_beside_it(tmp_path):
    (tmp_path / "login.toml").write_text(f"[mitid]\n{GOOD}")
    assert providers.read(tmp_path / "login.toml", production=True)["mitid"].client_key == tmp_path / "k.json"


def test_the_file_of_the_how_to_can_be_used(tmp_path):
    text = (Path(__file__).parents[2] / "docs/how-to/mitid.md").read_text("utf-8")
    (tmp_path / "login.toml").write_text(text.split("```toml\n")[1].split("```")[0])
    found = providers.read(tmp_path / "login.toml", production=True)
    assert {name: each.profile for name, each in found.items()} == {
        "mitid": "neb",
        "mitid-erhverv": "neb",
        "region": "oidc",
    }


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "[mitid]\n", f"[MitID]\n{GOOD}", f"[m]\n{GOOD}nonsense = 1\n", f'[m]\n{GOOD}client_secret = "s"\n', f"[m]\n{GOOD}test_identities = true\n",
        f"[m]\n{GOOD}".replace("https", "http"), f"[m]\n{GOOD}".replace("neb", "other"), f"[m]\n{GOOD}".replace("op.example", "u:p@op.example"),
        f"[m]\n{GOOD}".replace("op.example", "op.example?x=1"), f'[m]\n{GOOD}algorithm = "HS256"\n', f'[m]\n{GOOD}algorithm = "none"\n', f"[m]\n{GOOD}kinds = []\n",
        f'[m]\n{GOOD}levels = {{ x = "sky" }}\n', f"[m]\n{GOOD}".replace('client_key = "k.json"\n', ""),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_refused_at_start(tmp_path, text):
    (tmp_path / "login.toml").write_text(text)
    with pytest.raises(Misconfigured):
        providers.read(tmp_path / "login.toml", production=True)


def test_a_secret_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "s").write_text("x")
    (tmp_path / "s").chmod(0o640)
    with pytest.raises(Misconfigured):
        providers.secret(tmp_path / "s")
