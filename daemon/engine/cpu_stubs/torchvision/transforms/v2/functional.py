"""Nothing here is needed by text models."""
