"""Bytes → read-only trees: HL7 v2 ER7, MLLP frames, JSON, XML. No meaning, no I/O."""
