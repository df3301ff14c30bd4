"""radixdeck: the agent runtime layer for SGLang (observe, score, predict, act)."""

__version__ = "0.1.0"
