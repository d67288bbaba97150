"""The small world of the laws of search, with all that decides who may see what: organisations, blocks, mandates, labels."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import functools
import random
from collections.abc import Iterator
from pathlib import Path

from gateway.access import Actor, Assurance, Kind, Policy, Purpose, Sight
from gateway.access import scopes as access_scopes
from gateway.access.scopes import Letter
from gateway.formats import json
from gateway.model import Resource
from gateway.search import within
from gateway.search.index import extract
from gateway.search.standing import Category
from gateway.store.postgres.store import PostgresStore
from tests.contracts import stores
from tests.properties.search_world import Loaded, World

SOR = "urn:oid:1.2.208.176.1.1"
SORS = [str(n) * 12 for n in range(1, 6)]
ROLES = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
KINDS = {
    "Observation": 120, "Encounter": 40, "Patient": 12, "Appointment": 40, "Condition": 40, "Practitioner": 6, "Location": 6, "RiskAssessment": 12,
    "ValueSet": 6, "Organization": 6, "PractitionerRole": 4, "Consent": 40, "RelatedPerson": 12, "EpisodeOfCare": 10, "ServiceRequest": 16,
    "Device": 8, "Provenance": 30, "Account": 8, "AdverseEvent": 8, "Group": 10, "Person": 8, "Schedule": 10, "SupplyRequest": 10, "Binary": 16,
}  # fmt: skip
CONSTRAINTS = [
    "?status=final", "?code=a", "?date=ge2026", "?date=2026-03-29&status=final", "?value-quantity=gt1||mg", "?value-quantity=lt2|http://unitsofmeasure.org|g",
    "?combo-value-quantity=5.4", "?value-string=blood", "?_id=p1,p2,p3,p5,p8,p13,p21,p34", "?_source=urn:a", "?_profile=http://p.example/a", "?value-date=ge2020",
]  # fmt: skip
MOMENTS = [
    dt.datetime(2025, 12, 31, 23, 30, tzinfo=dt.UTC),
    dt.datetime(2026, 3, 29, 1, 0, tzinfo=dt.UTC),
    dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC),
]


class Populated(World):
    """Its resources, with what decides about them."""

    def patient(self) -> Resource:
        return {"reference": f"Patient/p{self.random.randrange(6)}"}

    def organisation(self) -> Resource:
        number = self.random.randrange(6)
        if number and self.random.random() < 0.3:
            return {"identifier": {"system": SOR, "value": SORS[number - 1]}}
        return {"reference": f"Organization/p{number}"}

    def named(self, *others: str) -> dict:
        """Somebody or something: a patient, mostly."""
        return self.patient() if self.random.random() < 0.5 else {"reference": self.pick(*others)}

    def target(self) -> dict:
        """What a Provenance or a Binary is about: mostly what there is, and of a record."""
        kind = self.pick("Observation", "Observation", "Observation", "Encounter", "Patient", "Condition", "Consent", "Appointment", "Device", "Organization", "Group", "Provenance")  # fmt: skip
        version = self.pick("", "", "", "/_history/1")
        return {"reference": f"{kind}/p{self.random.randrange(KINDS[kind])}{version}"}

    def links(self, number: int) -> list[dict]:
        """Merges, links that count when both say so, and what says nothing by itself; some in a circle, some in a chain."""
        other = {"reference": f"Patient/p{self.random.randrange(8)}"}
        if self.random.random() < 0.25:
            return [{"other": other, "type": "replaced-by"}]
        kinds = {2: ("Patient/p3", "seealso"), 3: ("Patient/p2", "seealso"), 5: ("Patient/p0", "replaces")}
        if number in kinds and self.random.random() < 0.7:
            return [{"other": {"reference": kinds[number][0]}, "type": kinds[number][1]}]
        return []

    def about(self) -> dict:
        made = {
            "period": self.maybe(self.period, 0.4),
            "dataPeriod": self.maybe(self.period, 0.2),
            "actor": self.maybe(lambda: [self.acting()], 0.7),
            "class": self.maybe(lambda: [{"system": self.pick("http://hl7.org/fhir/resource-types", "http://hl7.org/fhir/resource-types", "urn:x"), "code": self.pick("Observation", "Condition")}], 0.15),
            "data": self.maybe(lambda: [{"meaning": "authoredby", "reference": self.organisation()} if self.random.random() < 0.5 else {"meaning": "instance", "reference": {"reference": f"Observation/p{self.random.randrange(120)}"}}], 0.3),
        }  # fmt: skip
        return {name: value for name, value in made.items() if value is not None}

    def acting(self) -> dict:
        who = self.pick("Organization", "Practitioner", "PractitionerRole", "Patient", "RelatedPerson")
        role = "POWATT" if who in {"Patient", "RelatedPerson"} else self.pick("IRCP", "POWATT")
        named = self.organisation() if who == "Organization" else {"reference": f"{who}/p{self.random.randrange(4)}"}
        return {"role": {"coding": [{"system": ROLES, "code": role}]}, "reference": named}

    def resource(self, kind: str, number: int) -> Resource:
        made = {
            "Organization": lambda: {"name": "o", "identifier": [{"system": SOR, "value": SORS[number - 1]}] if number else [], "partOf": self.maybe(lambda: {"reference": f"Organization/p{self.random.randrange(6)}"}, 0.4)},
            "PractitionerRole": lambda: {"practitioner": {"reference": f"Practitioner/p{self.random.randrange(4)}"}},
            "Consent": lambda: {
                "status": self.pick("active", "active", "active", "inactive"), "patient": self.patient(), "category": [], "dateTime": self.maybe(self.moment),
                "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": self.pick("patient-privacy", "patient-privacy", "patient-privacy", "research")}]},
                "provision": {"type": self.pick("deny", "deny", "permit"), **self.about(), **({"provision": [{"type": "deny", **self.about()}]} if self.random.random() < 0.15 else {})},
            },
            "RelatedPerson": lambda: {"patient": self.patient(), "active": self.maybe(lambda: self.pick(True, False), 0.3), "relationship": [{"coding": [{"system": ROLES, "code": self.pick("GUARD", "GUARD", "POWATT", "MTH")}]}], "period": self.maybe(self.period, 0.3)},
            "EpisodeOfCare": lambda: {"status": self.pick("active", "finished", "cancelled"), "patient": self.patient(), "managingOrganization": self.organisation(), "period": self.maybe(self.period, 0.9)},
            "ServiceRequest": lambda: {"status": self.pick("active", "completed", "draft"), "intent": "order", "subject": self.patient(), "performer": [self.organisation()], "requester": self.organisation(), "authoredOn": self.maybe(self.moment, 0.9), "occurrencePeriod": self.maybe(self.period, 0.3)},
            "Device": lambda: {"patient": self.maybe(self.patient)},
            "Provenance": lambda: {"target": [self.target() for _ in range(self.pick(1, 1, 1, 2, 3))], "recorded": self.pick("2025-12-15T00:00:00Z", "2026-03-29T01:00:00Z", "2015-01-01T00:00:00Z"), "agent": [{"who": self.organisation()}], "entity": self.maybe(lambda: [{"role": "source", "what": self.pick({"identifier": {"value": "1"}}, {"identifier": {"value": "2"}}, self.target())}], 0.3)},
            "AdverseEvent": lambda: {"actuality": "actual", "subject": self.pick(self.patient(), self.patient(), {"reference": "Practitioner/p1"}), "date": self.maybe(self.moment)},
            "Group": lambda: {"type": "person", "actual": True, "member": self.maybe(lambda: [{"entity": self.named("Practitioner/p1", "Group/p1", "Device/p1", "Medication/p1")} for _ in range(self.random.randint(1, 2))], 0.8)},
            "Person": lambda: {"name": [{"family": "x"}], "link": self.maybe(lambda: [{"target": self.named("RelatedPerson/p1", "Practitioner/p1")} for _ in range(self.random.randint(1, 2))], 0.9)},
            "Schedule": lambda: {"actor": [self.named("Practitioner/p1", "Location/p1", "HealthcareService/p1", "RelatedPerson/p1", "Device/p1", "#x") for _ in range(self.random.randint(1, 2))]},
            "SupplyRequest": lambda: {"itemCodeableConcept": self.concept(), "quantity": {"value": 1}, "deliverTo": self.maybe(lambda: self.named("Organization/p1", "Location/p1"), 0.9), "requester": self.maybe(lambda: self.named("Practitioner/p1", "RelatedPerson/p1"), 0.3)},
            "Binary": lambda: {"contentType": "text/plain", "data": "eA==", "securityContext": self.maybe(self.target, 0.9)},
            "Account": lambda: {"status": "active", "subject": [self.patient() for _ in range(self.random.randint(1, 3))]},
        }  # fmt: skip
        if kind in made:
            resource = {
                "resourceType": kind,
                "id": f"p{number}",
                "meta": {"tag": [{"system": "s", "code": "x"}]},
                **made[kind](),
            }
            if kind in {"Provenance", "Binary", "Schedule"} and self.random.random() < 0.15:
                resource["meta"]["security"] = [{"system": CONFIDENTIALITY, "code": self.pick("V", "R", "N")}]
            return {name: value for name, value in resource.items() if value is not None}
        resource = super().resource(kind, number)
        if kind == "Encounter":
            resource["serviceProvider"] = self.organisation()
        if kind == "Observation" and self.random.random() < 0.5:
            resource["performer"] = [self.organisation()]
        if kind == "Practitioner":
            resource["identifier"].append({"system": "https://autregweb.sst.dk", "value": f"BCD{number:02}"})
        if kind == "Patient":
            resource["birthDate"] = self.pick(
                "2011-01-01", "2010-12-31", "2011-03-29", "2011", "2018-05-05", "1950-01-01"
            )
            resource["link"] = [
                {"other": {"reference": f"RelatedPerson/p{self.random.randrange(12)}"}, "type": "seealso"},
                *self.links(number),
            ]
            resource["generalPractitioner"] = [self.organisation()] if self.random.random() < 0.3 else []
        if kind not in {"Patient", "Practitioner", "Location", "ValueSet"} and self.random.random() < 0.3:
            label = self.pick(
                (CONFIDENTIALITY, "V"),
                (CONFIDENTIALITY, "R"),
                (CONFIDENTIALITY, "N"),
                ("urn:sundbro:label", "not-for-parents"),
            )
            resource["meta"]["security"] = [{"system": label[0], "code": label[1]}]
        return resource


class Peopled(Loaded):
    """That world in a store, and in memory."""

    def load(self) -> None:
        made = Populated(11)
        for kind, number in KINDS.items():
            for few in range(0, number, 20):
                self.apply(*(made.resource(kind, place) for place in range(few, min(few + 20, number))))
            self.apply(*(made.resource(kind, place) for place in range(0, number, 4)), minute=1)
            self.apply(*({"resourceType": kind, "id": f"p{n}"} for n in range(3, number, 12)), minute=2, deleted=True)
            found = [self.runner.run(self.store.read(kind, f"p{place}")) for place in range(number)]
            self.resources[kind] = [json.loads(version.body) for version in found if not version.deleted]
        self.world = within.World.of([one for kind in self.resources.values() for one in kind])
        self.seen = functools.lru_cache(maxsize=1 << 10)(self._seen)

    def _seen(self, sight: Sight, kind: str) -> list[Resource]:
        reach = sight.of(kind)
        return [one for one in self.resources.get(kind, []) if within.sees(reach, one, self.world)]


def sights(number: int) -> list[Sight]:
    """Callers of all kinds, for all purposes, at different moments."""
    chance = random.Random(5)
    made = []
    for _ in range(number):
        person = f"Patient/p{chance.randrange(6)}"
        other = f"Patient/p{chance.randrange(6)}"
        context = chance.choice(["patient", "user"])
        constraint = chance.choice(["", "", chance.choice([*CONSTRAINTS, f"?patient={other}"])])
        scopes = (
            [f"{context}/*.cruds", f"{context}/Observation.rs{constraint}"]
            if not constraint
            else [
                f"{context}/Observation.rs{constraint}",
                f"{context}/Patient.rs{chance.choice(['', '', '?name=s', '?birthdate=lt2012&active=true'])}",
                f"{context}/Encounter.rs",
                f"{context}/RiskAssessment.rs?probability=gt0.3",
                f"{context}/Provenance.rs?recorded=gt2020",
            ]
        )
        kind = chance.choice([Kind.CITIZEN, Kind.CITIZEN, Kind.STAFF, Kind.STAFF, Kind.SYSTEM])
        more: dict = {"assurance": Assurance.SUBSTANTIAL}
        if kind is Kind.CITIZEN:
            more |= {"purpose": Purpose.OWN, "person": person, "on_behalf_of": chance.choice(["", other, other])}
            more["records"] = ((), (), (f"Patient/p{len(made) % 6}",))[len(made) % 3]  # whose custody is his as well
        elif kind is Kind.STAFF:
            purpose = chance.choice(
                [Purpose.TREATMENT, Purpose.TREATMENT, Purpose.CONSENT, Purpose.QUALITY, Purpose.VAERDISPRING]
            )
            more |= {
                "purpose": purpose,
                "organisation": chance.choice(SORS),
                "authorisation": chance.choice(["", "BCD00", "BCD01"]),
                "patient": chance.choice(["", person]),
                "reason": "x",
            }
        else:
            more |= {"purpose": Purpose.SHARING}
            scopes = [one.replace(f"{context}/", "system/") for one in scopes]
        who = Actor("client", access_scopes.parse(scopes), kind, **more)
        policy = Policy(least=chance.choice([*Category]), unclear_opens=chance.random() < 0.2)
        made.append(Sight(who, chance.choice([Letter.READ, Letter.SEARCH]), chance.choice(MOMENTS), policy))
    return made


@contextlib.contextmanager
def peopled(folder: Path) -> Iterator[Peopled]:
    with stores.running_database(folder) as database, asyncio.Runner() as runner:
        store = PostgresStore(database.url, outbox_partition=stores.partition, extract=extract, merge=stores.merge)
        runner.run(store.start())
        try:
            made = Peopled(runner, store)
            made.load()
            yield made
        finally:
            runner.run(store.stop())
