"""How images, ids and labels lie in files of each kind, and how they are told apart."""
