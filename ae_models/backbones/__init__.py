"""What a frozen network makes of an image: maps of features, for auto-encoders that rebuild these
instead of pixels. One source of networks a file, and a line in `registry` for each."""
