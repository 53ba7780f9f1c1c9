"""The configuration of a training run. Imports neither Keras nor TensorFlow."""
