"""The three kinds of model, and what they infer of a batch."""
