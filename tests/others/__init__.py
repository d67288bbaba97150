"""The FHIR API before clients and judges that others wrote: what they expect is not ours to decide."""
