"""What lies on the radix tree: which node is whose, in which queue it waits, and which goes next."""
