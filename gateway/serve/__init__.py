"""The FHIR REST API: parse, decide, query, answer. One file per interaction, one table of routes."""

from gateway.serve.api import FhirApi
from gateway.serve.openapi import fast_path, fhir_routes

__all__ = ["FhirApi", "fast_path", "fhir_routes"]
