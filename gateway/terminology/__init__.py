"""The tables of mappings/ as look-up values, compiled once."""
