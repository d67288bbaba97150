"""Who is asking: tokens and the local issuer that makes them in development."""
