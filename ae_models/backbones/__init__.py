"""Frozen networks that turn an image into feature maps, which auto-encoders reconstruct instead of
pixels. One file per source of networks, and one line in `registry` for each."""
