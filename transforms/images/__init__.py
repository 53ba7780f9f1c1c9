"""One image, or a batch of them: encoded bytes to pixels of one shape."""
