"""Calls of tools: which results may be remembered, answered again, or called for early."""
