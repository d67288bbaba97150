"""The FHIR REST API: parse, decide, query, answer. One file per interaction, one table of routes."""

from gateway.serve.api import FhirApi

__all__ = ["FhirApi"]
