"""Images of any size in tiles of full resolution."""
