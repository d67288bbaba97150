"""Every setting of the gateway: typed, documented where it is defined, read from the environment and one file.

Order: an environment variable `SUNDBRO_<NAME>` wins over a line `<name> = …` of the settings file (TOML, named by
`SUNDBRO_SETTINGS`, else `sundbro.toml` in the data folder when it is there), which wins over the default. A name that
does not exist is refused: a misspelt setting must not be silently ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pydantic

from gateway.errors import Misconfigured

PREFIX = "SUNDBRO_"
ROLES = ("receive", "translate", "publish", "serve")
ADDRESS = r"^(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+):[0-9]{1,5}$"
_SAID = {
    "extra_forbidden": "there is no such setting",
    "string_pattern_mismatch": "not of its form (host:port for an address)",
}
"""What pydantic says in words of its own, by its error types."""


class Settings(pydantic.BaseModel):
    """The settings. Each is `SUNDBRO_` and its name in capitals, or a line of the settings file."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    secret: ClassVar[frozenset[str]] = frozenset({"database_url", "kafka_password", "id_secret"})

    data: Path = pydantic.Field(
        Path("data"), description="Folder in which everything embedded lives: database, keys, drop folders."
    )
    environment: Literal["development", "production"] = pydantic.Field(
        "development",
        description="In production, unsafe values (local issuer, plain MLLP beyond loopback, embedded keys) refuse to start.",
    )
    roles: str = pydantic.Field(
        ",".join(ROLES), description="Roles of this process, by commas: receive, translate, publish, serve."
    )
    http: str = pydantic.Field(
        "127.0.0.1:8080", pattern=ADDRESS, description="host:port of the FHIR API, the HTTP door and the health pages."
    )
    https: str = pydantic.Field(
        "",
        pattern=f"{ADDRESS}|^$",
        description="host:port of the same over TLS, with SUNDBRO_TLS_CERTIFICATE; empty closes it.",
    )
    https_client_ca: Path | None = pydantic.Field(
        None,
        description="CAs, or clients' own self-signed certificates (PEM), that client certificates at SUNDBRO_HTTPS "
        "must come from; empty asks for none.",
    )
    https_client_certificate: Literal["optional", "required"] = pydantic.Field(
        "optional", description="Whether SUNDBRO_HTTPS turns away whoever has no client certificate."
    )
    public_url: str = pydantic.Field(
        "",
        description="The address callers use, where it is neither https://<https> nor, without that door, http://<http>: "
        "a name, a proxy in front.",
    )
    mllp: str = pydantic.Field(
        "127.0.0.1:2575", pattern=f"{ADDRESS}|^$", description="host:port of the MLLP door; empty closes it."
    )
    mllp_tls: str = pydantic.Field(
        "", pattern=f"{ADDRESS}|^$", description="host:port of the MLLP door over TLS; empty closes it."
    )
    tls_certificate: Path | None = pydantic.Field(
        None, description="Server certificate chain (PEM) of the doors over TLS."
    )
    tls_key: Path | None = pydantic.Field(None, description="Private key (PEM) of the server certificate.")
    tls_client_ca: Path | None = pydantic.Field(
        None, description="CA (PEM) that client certificates at SUNDBRO_MLLP_TLS must come from."
    )
    mllp_idle_seconds: float = pydantic.Field(
        300.0, gt=0, description="A connection without a byte for so long is closed."
    )
    mllp_block_seconds: float = pydantic.Field(
        30.0, gt=0, description="A block that is not complete after so long is dropped without an answer."
    )
    mllp_connections_max: int = pydantic.Field(
        1000, gt=0, description="Open MLLP connections of a process; one more is closed at once."
    )
    ack_seconds_max: float = pydantic.Field(
        20.0, gt=0, description="A door waits so long for durability, then answers nothing (MLLP) or 503 (HTTP)."
    )
    inflight_max: int = pydantic.Field(
        2000,
        gt=0,
        description="Messages a process holds between door and durable; beyond: 429, and MLLP stops reading.",
    )
    inflight_bytes_max: int = pydantic.Field(
        128 << 20,
        gt=0,
        description="Bytes a process holds between door and durable, half-read bodies and blocks included.",
    )
    body_seconds_max: float = pydantic.Field(
        60.0, gt=0, description="An HTTP body that is not complete after so long is answered with 408."
    )
    body_bytes_max: int = pydantic.Field(16 << 20, gt=0, description="Largest HTTP body, unpacked.")
    gzip_ratio_max: int = pydantic.Field(
        100, gt=1, description="A gzip body that unpacks to more than so many times its size is refused."
    )
    database_url: str = pydantic.Field(
        "", description="PostgreSQL 16+ of the store; empty starts the embedded one in the data folder."
    )
    database_schema: str = pydantic.Field(
        "sundbro",
        pattern="^[a-z][a-z0-9_]*$",
        description="Schema of the store: a new name is a new, empty store beside the old one.",
    )
    kafka: str = pydantic.Field(
        "", description="Kafka bootstrap servers; empty keeps the backbone in the same PostgreSQL."
    )
    kafka_prefix: str = pydantic.Field("", pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic name.")
    kafka_replication: int = pydantic.Field(
        1, ge=1, description="Replication factor of topics that the gateway creates; 3 in production."
    )
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT"] = pydantic.Field(
        "PLAINTEXT", description="Security protocol towards Kafka."
    )
    kafka_ca: Path | None = pydantic.Field(None, description="CA (PEM) of the Kafka brokers.")
    kafka_user: str = pydantic.Field("", description="SASL/SCRAM-SHA-512 user.")
    kafka_password: str = pydantic.Field("", description="SASL/SCRAM-SHA-512 password.")
    partitions: int = pydantic.Field(
        8,
        ge=1,
        le=256,
        description="Partitions of every topic: fixed when the topics are made, changing it breaks order.",
    )
    raw_retention_hours: int = pydantic.Field(
        24 * 90, ge=0, description="How long raw records are kept, the horizon of replay; 0 keeps them for ever."
    )
    fhir_retention_hours: int = pydantic.Field(
        24 * 7, ge=0, description="How long fhir.* records are kept; 0 keeps them for ever."
    )
    feeds: Path | None = pydantic.Field(
        None, description="Folder with more feed files (TOML), or files that replace the ones that come with a format."
    )
    drop: str = pydantic.Field("", description="Watched folder: <drop>/<feed>/ takes files; empty closes this door.")
    translators: int = pydantic.Field(
        0,
        ge=0,
        description="Translation processes; 0: two for every three cores; on one core none but this process.",
    )
    servers: int = pydantic.Field(
        0, ge=0, le=64, description="HTTP server processes at the one address; 0: one for every two cores."
    )
    batch_max: int = pydantic.Field(300, ge=1, description="Messages in one transaction of a translator.")
    id_secret: str = pydantic.Field(
        "",
        description="Secret (hex, 32+ digits) of ids and lanes: the same gives the same ids; empty keeps one in the data folder.",
    )
    clients: Path | None = pydantic.Field(
        None,
        description="Folder of client registrations (TOML, one a file); empty: in development the samples, in production none.",
    )
    jwks_hosts: str = pydantic.Field(
        "", description="Hosts (host or host:port, by commas) whose key sets a client's jwks_uri may name; https alone."
    )
    jwks_networks: str = pydantic.Field(
        "", description="Networks (10.20.0.0/16, by commas) that those hosts may be in although they are not public."
    )
    trusted_proxies: str = pydantic.Field(
        "", description="Networks (by commas) of the proxies whose client certificate header is believed; empty: none."
    )
    certificate_header: str = pydantic.Field(
        "client-cert",
        pattern="^[A-Za-z0-9-]+$",
        description="Header in which such a proxy hands on the client certificate (RFC 9440, or PEM percent-encoded).",
    )
    packages: str = pydantic.Field(
        "",
        description="FHIR packages (.tgz of R4 profiles, by commas) that $validate knows beside DK Core and MedCom.",
    )
    login: Path | None = pydantic.Field(
        None,
        description="File (TOML) of the identity providers for people; none: the local issuer, in development alone.",
    )
    login_idle_minutes: int = pydantic.Field(30, gt=0, description="A session that is not used for so long ends.")
    login_hours_max: int = pydantic.Field(8, gt=0, le=24, description="A session ends after so long, used or not.")
    assurance_citizen: Literal["low", "substantial", "high"] = pydantic.Field(
        "substantial", description="Least NSIS level of assurance of a citizen's log-in."
    )
    assurance_staff: Literal["low", "substantial", "high"] = pydantic.Field(
        "substantial", description="Least NSIS level of assurance of a professional's log-in."
    )
    relation_least: Literal["A+", "A", "B+", "B", "C"] = pydantic.Field(
        "C",
        description="Least sure treatment relation that opens a record to staff: A+ a referral, A an encounter, B+ an episode "
        "of care, B the general practitioner, C one that has ended.",
    )
    relation_days_before: int = pydantic.Field(
        7, ge=0, le=365, description="A relation stands so long before its planned contact."
    )
    relation_days_after: int = pydantic.Field(
        62, ge=0, le=366, description="A relation stands so long after its contact; no law names a period."
    )
    relation_quality_days: int = pydantic.Field(
        182, ge=0, le=183, description="Own learning is open so long after a treatment (six months, § 42 d)."
    )
    relation_unclear: bool = pydantic.Field(
        False,
        description="Staff may open one patient by a launch before any relation is known (categories D, E); each is flagged.",
    )
    audit_key: Path | None = pydantic.Field(
        None,
        description="Ed25519 key (PEM) that signs the audit ledger's checkpoints; empty keeps one in the data folder.",
    )
    audit_witness_file: Path | None = pydantic.Field(
        None, description="File that every checkpoint is added to: on another disk, of another owner."
    )
    audit_witness_url: str = pydantic.Field(
        "", pattern="^(https?://.+)?$", description="Address that every checkpoint is posted to."
    )
    audit_retention_days: int = pydantic.Field(
        1826, ge=0, description="How long audit records are kept (five years; ask your DPO); 0 keeps them for ever."
    )
    minlog_url: str = pydantic.Field(
        "",
        pattern="^(https?://.+)?$",
        description="Where looks are registered for MinLog2 (SOAP); empty registers none.",
    )
    minlog_system: str = pydantic.Field(
        "Sundbro", min_length=1, max_length=25, description="What MinLog shows as the system that was used."
    )
    otlp: str = pydantic.Field("", description="OTLP/HTTP address for traces; empty exports none.")
    trace_ratio: float = pydantic.Field(
        0.01, ge=0, le=1, description="Share of messages that are traced when the sender did not decide it."
    )
    log_level: Literal["debug", "info", "warning", "error"] = pydantic.Field(
        "info", description="Least important log line that is written."
    )
    log_format: Literal["json", "console"] = pydantic.Field(
        "json", description="One JSON object a line, or lines for people."
    )

    def address(self) -> str:
        """Return where callers reach the gateway, without a slash at the end."""
        own = f"https://{self.https}" if self.https else f"http://{self.http}"
        return (self.public_url or own).rstrip("/")

    def role_names(self) -> frozenset[str]:
        """Return the roles of this process. Raises Misconfigured for a name that is no role."""
        names = frozenset(name.strip() for name in self.roles.split(",") if name.strip())
        if unknown := names - set(ROLES):
            raise Misconfigured(f"SUNDBRO_ROLES names {', '.join(sorted(unknown))}; roles are {', '.join(ROLES)}")
        return names

    def package_files(self) -> list[Path]:
        """Return the further FHIR packages. Raises Misconfigured for one that is not there; they are read when asked for."""
        files = [Path(name.strip()) for name in self.packages.split(",") if name.strip()]
        if missing := [str(file) for file in files if not file.is_file()]:
            raise Misconfigured(f"SUNDBRO_PACKAGES names files that do not exist: {', '.join(missing)}")
        return files

    def masked(self) -> dict[str, Any]:
        """Return all settings for the start-up log, secrets as `***`."""
        values = self.model_dump(mode="json")
        return {name: "***" if name in self.secret and value else value for name, value in values.items()}


def load(environment: Mapping[str, str]) -> Settings:
    """Read the settings. Raises Misconfigured, naming every wrong line, when they cannot be used."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)}
    given.pop("shared", None)  # tests only: where third-party messages stand
    given = {name: value for name, value in given.items() if not name.startswith("test_")}
    named = given.pop("settings", "")
    path = Path(named) if named else Path(given.get("data", "data")) / "sundbro.toml"
    values: dict[str, Any] = {}
    if named or path.is_file():
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise Misconfigured(f"the settings file {path} cannot be read: {error}") from error
    try:
        settings = Settings.model_validate({**values, **given})
    except pydantic.ValidationError as error:
        lines = [
            f"{PREFIX}{'.'.join(str(part) for part in e['loc']).upper()}: {_SAID.get(e['type'], e['msg'])}"
            for e in error.errors(include_input=False)
        ]
        raise Misconfigured("settings that cannot be used: " + "; ".join(lines)) from None
    settings.role_names()
    return settings
