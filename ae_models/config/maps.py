"""The names of anomaly maps, which configurations hold."""

ERROR, LIKELIHOOD, DENSITY = "error", "likelihood", "density"
NO_MAP = "none"
_LEAST_PLACES = 64  # of the shorter side, where the image has as many pixels


def place_pixels(shorter: int) -> int:
    """How many pixels wide and high a place of the map of a frame is, by the frame's shorter side:
    the greatest power of two that leaves 64 places or more, or 1."""
    pixels = 1
    while shorter // (2 * pixels) >= _LEAST_PLACES:
        pixels *= 2
    return pixels


def map_size(frame: tuple[int, int]) -> tuple[int, int]:
    """(h, w) of the map of a frame, (height, width) in pixels."""
    pixels = place_pixels(min(frame))
    height, width = frame
    return -(-height // pixels), -(-width // pixels)
