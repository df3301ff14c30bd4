"""What kv_caching learns: who is dispatched next and when, whether a session is over, what tokens are worth by that."""
