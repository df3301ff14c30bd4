"""Before a request reaches the engine: the host of the doorkeepers, and what they count, measure and obey."""
