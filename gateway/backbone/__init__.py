"""The backbone: durable, partitioned, ordered logs of records. `port` is the promise; the rest keeps it."""
