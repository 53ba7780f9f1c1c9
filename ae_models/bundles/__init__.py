"""The model bundle: its files, what they may hold, and scoring with them."""
