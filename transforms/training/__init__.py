"""The training pipeline: from records to splits and tf.Transform's analysis."""
