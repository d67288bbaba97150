"""Fixtures come in modules of their own, one a subject; this file only names them."""

pytest_plugins = ["tests.postgres.fixtures", "tests.kafka.fixtures"]
