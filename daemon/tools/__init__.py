"""Where agents call tools: what stands between a caller and its tools, and remembers what those said."""
