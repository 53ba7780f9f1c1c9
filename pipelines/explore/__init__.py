"""`latentbeam explore`: pictures of what a model does, a program a picture."""

MOST_STEPS = 15
MOST_STEPS_OF_A_WAY = 14  # whose lines need room
MOST_SHOWN = 16  # records side by side that can still be seen
