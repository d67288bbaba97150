"""The store in PostgreSQL 16 and later: embedded or named by URL, the same code and the same tables."""
