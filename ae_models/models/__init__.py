"""The three kinds of model, and their inference for a batch."""
