"""Sundbro: a health data-sharing gateway. ARCHITECTURE.md is the code map, in reading order."""
