"""The one place where resources change. `port` is the promise; PostgreSQL keeps it."""
