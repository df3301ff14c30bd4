"""What speculation computes ahead: the prompts it expects, and the time it has for them."""
