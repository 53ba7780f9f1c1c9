"""Decodes one image, or a batch of images, to pixels of one shape."""
