"""Records of the inputs: all of them, a sample, single ones."""
