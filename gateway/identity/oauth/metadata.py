"""What the authorization server says of itself (RFC 8414, OpenID Connect Discovery, SMART), and that works."""

from __future__ import annotations

from typing import Any, Final

from gateway.identity.oauth.client import CODE, CREDENTIALS, EXCHANGE, REFRESH
from gateway.identity.oauth.keys import ID
from gateway.identity.oauth.proofs import ALGORITHMS as PROOF_ALGORITHMS
from gateway.identity.oauth.registration import ALGORITHMS

SCOPES: Final = (
    *("openid", "fhirUser", "launch", "launch/patient", "offline_access", "online_access"),
    *("patient/*.rs", "user/*.rs", "system/*.rs"),
)
CAPABILITIES: Final = (
    *("launch-ehr", "launch-standalone", "authorize-post", "client-public", "client-confidential-asymmetric"),
    *(
        "sso-openid-connect",
        "context-banner",
        "context-ehr-patient",
        "context-ehr-encounter",
        "context-standalone-patient",
    ),
    *(
        "permission-offline",
        "permission-online",
        "permission-patient",
        "permission-user",
        "permission-v1",
        "permission-v2",
    ),
)
"""SMART App Launch 2.2 §capabilities. Not context-standalone-encounter, context-style, client-confidential-symmetric."""
OAUTH_URIS: Final = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
SERVICE: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_KEYED: Final = ["private_key_jwt"]


def server(address: str) -> dict[str, Any]:
    """Return the authorization server metadata (RFC 8414, with RFC 9126, 9207, 9449 and 8705)."""
    return {
        "issuer": address,
        "authorization_endpoint": f"{address}/oauth/authorize",
        "token_endpoint": f"{address}/oauth/token",
        "jwks_uri": f"{address}/oauth/jwks",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [CODE, REFRESH, CREDENTIALS, EXCHANGE],
        "token_endpoint_auth_methods_supported": [*_KEYED, "none"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint": f"{address}/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": [*_KEYED, "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint": f"{address}/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": _KEYED,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "pushed_authorization_request_endpoint": f"{address}/oauth/par",
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "dpop_signing_alg_values_supported": list(PROOF_ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
        "ui_locales_supported": ["da", "en"],
        "acr_values_supported": [f"https://data.gov.dk/concept/core/nsis/{level}" for level in ("Substantial", "High")],
    }


def openid(address: str) -> dict[str, Any]:
    """Return the OpenID Provider metadata (OpenID Connect Discovery 1.0 §3)."""
    return {
        **server(address),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ID],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "acr", "nonce", "fhirUser"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
    }


def smart(address: str) -> dict[str, Any]:
    """Return `.well-known/smart-configuration` (SMART App Launch 2.2 §conformance)."""
    told = server(address)
    return {**told, "grant_types_supported": [CODE, CREDENTIALS], "capabilities": list(CAPABILITIES)}


def security(address: str) -> dict[str, Any]:
    """Return `CapabilityStatement.rest.security` (SMART App Launch 2.2, and its older oauth-uris extension)."""
    uris = {"authorize": "authorize", "token": "token", "revoke": "revoke", "introspect": "introspect"}
    return {
        "extension": [
            {
                "url": OAUTH_URIS,
                "extension": [{"url": name, "valueUri": f"{address}/oauth/{path}"} for name, path in uris.items()],
            }
        ],
        "cors": True,
        "service": [{"coding": [{"system": SERVICE, "code": "SMART-on-FHIR"}]}],
        "description": "OAuth 2.0 with SMART App Launch 2.2 and Backend Services; this statement alone is open to all.",
    }
