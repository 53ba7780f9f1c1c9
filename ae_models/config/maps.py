"""The names of anomaly maps in a configuration, and the size of their places."""

ERROR, LIKELIHOOD, DENSITY = "error", "likelihood", "density"
NO_MAP = "none"
_LEAST_PLACES = 64  # along the shorter side, if the image has that many pixels


def place_pixels(shorter: int) -> int:
    """The side in pixels of one place of a frame's map, from the frame's shorter side: the greatest
    power of two that leaves at least 64 places, or 1."""
    pixels = 1
    while shorter // (2 * pixels) >= _LEAST_PLACES:
        pixels *= 2
    return pixels


def map_size(frame: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the map of a frame of (height, width) pixels."""
    pixels = place_pixels(min(frame))
    height, width = frame
    return -(-height // pixels), -(-width // pixels)
