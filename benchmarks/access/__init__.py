"""What access and audit cost: see `__main__`."""
