"""FHIR R4 as the house uses it: stable ids, merging, references, and the one door to validation."""
