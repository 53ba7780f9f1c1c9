"""Records through a bundle: the ModelHandler, and columns of scores."""
