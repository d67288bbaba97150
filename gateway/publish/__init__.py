"""The outbox → `fhir.<Type>` records on the backbone, in commit order per lane."""
