"""Who is asking: agent, session and tenant of a request, declared or inferred, and whether what is declared holds."""
