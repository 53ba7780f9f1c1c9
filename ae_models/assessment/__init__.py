"""What a trained model is found to be, before anyone relies on it."""
