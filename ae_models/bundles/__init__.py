"""The model bundle: its files, their allowed contents, and scoring with them."""
