"""FHIR search as values: parameters, parse, index, match. Pure; the store turns a query into SQL."""
