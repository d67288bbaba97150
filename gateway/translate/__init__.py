"""One raw record → FHIR resources or a rejection, and on into the store. Finds adapters by their folders."""
