"""How files of each kind store images, ids and labels, and how these are identified."""
