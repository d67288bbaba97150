"""Who may see what: decide(actor, query) → a narrowed query, or a refusal. Pure."""
