"""Stand-ins for compiled packages that SGLang imports and a dense text model on the CPU never calls."""
