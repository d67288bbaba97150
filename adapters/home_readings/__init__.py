"""Readings from people's homes: KIH-style JSON as telemonitoring vendors post it, and FHIR Observation bundles.

translate.py is the door in; README.md says what is mapped, readings.schema.json what a vendor may post.
"""
