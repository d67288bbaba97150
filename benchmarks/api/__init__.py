"""The FHIR API under load: a population, a driver for any FHIR server, and the mixes that servers are compared by."""
