"""Stand-in for torchvision: text models need its names at import and nothing of what it does."""

__version__ = "0.28.0"
