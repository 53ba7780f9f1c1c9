"""Images of any size, in full-resolution tiles."""
