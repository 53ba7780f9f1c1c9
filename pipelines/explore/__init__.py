"""`latentbeam explore`: pictures of what a model does, one function per picture."""

MOST_STEPS = 15
MOST_STEPS_OF_A_WAY = 14  # its lines need room
MOST_SHOWN = 16  # records that are still legible side by side
