"""The stages of `latentbeam train`, and the folder from which it resumes."""
