"""HL7 v2 (ER7) as hospitals send it: ADT and ORU messages → FHIR R4."""
