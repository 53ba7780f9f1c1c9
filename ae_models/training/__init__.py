"""Training with Keras from disk: splits, the image store, fitting."""
