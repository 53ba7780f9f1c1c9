"""Training's pipeline: records to splits and tf.Transform's analysis."""
