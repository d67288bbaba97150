"""Telling: typed observations that logs, metrics and traces listen to. Logic announces, it writes no log strings."""
