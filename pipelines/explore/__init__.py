"""`latentbeam explore`: pictures of what a model does, a program a picture."""

MOST_SHOWN = 16  # records side by side that can still be seen
