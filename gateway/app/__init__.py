"""The composition root: settings → parts → roles. Only here are Kafka, PostgreSQL and the adapters put together."""
