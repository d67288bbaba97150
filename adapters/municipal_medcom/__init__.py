"""MedCom FHIR messages in JSON or XML.

HospitalNotification, HomeCareObservation, and the acknowledgements that answer them.
"""
