"""What an encoded image may cost: checked before any of it is decoded.

A decoder's time and memory are bounded by the image's pixels, which `max_pixels` limits, for honest
files. These are the ways around that: more work than the pixels account for, or larger buffers.
Nothing can stop native code that runs too long, so what it would loop over is counted beforehand.
Each limit is far from what cameras and image editors write.

There is a file for each format. Its check raises RecordError; where the data end early, which is
for the decoder to say, struct.error or IndexError.
"""
