"""Limits on the cost of an encoded image, checked before any of it is decoded.

For honest files, the number of pixels, which `max_pixels` limits, bounds a decoder's time and
memory. These checks close the ways around that: more work than the pixels account for, or larger
buffers. Nothing can stop native code that runs too long, so what it would loop over is counted
beforehand. Each limit is far beyond what cameras and image editors write.

There is a module per format. Its check raises RecordError, or struct.error or IndexError if the
data end early, which the decoder then reports.
"""
