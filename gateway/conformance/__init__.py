"""Conformance: the thorough check of a resource, on demand, against R4 and profiles (slicing, bindings, invariants).

Not the gate of the store: that is `fhir.validate`, which is a thousand times faster and which this room asks first.
Pure but for `packages`, the one loader, which reads the tables of mappings/profiles and the packages that a setting names.
"""
