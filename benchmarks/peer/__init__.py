"""HAPI FHIR JPA beside the gateway, in one run on one machine."""
