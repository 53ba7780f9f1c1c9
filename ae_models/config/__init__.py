"""The configuration of a training run. Importing it loads neither Keras nor TensorFlow."""
