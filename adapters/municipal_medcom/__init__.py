"""MedCom FHIR messages (Bundle of type message, JSON or XML): HospitalNotification, HomeCareObservation, and
the acknowledgements that answer them.
"""
