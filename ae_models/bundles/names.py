"""The names of a bundle's files and of its SavedModel's outputs. Imports nothing."""

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
KERAS_MODEL = "model.keras"
TRANSFORM_OUTPUT = "transform_fn"
SCORING = "scoring"
CALIBRATION = "calibration.parquet"
TILE_CALIBRATION = "calibration_tiles.parquet"  # if images are processed in tiles
MODEL_CARD = "model_card.md"
CURVES = "curves.png"
GRAPHS = (SCORING, f"{TRANSFORM_OUTPUT}/transform_fn")
_VARIABLES = ("variables.data-00000-of-00001", "variables.index")
# A bundle has all of these files and, except for optional ones, no others.
FILES = frozenset(
    {
        KERAS_MODEL,
        CALIBRATION,
        f"{TRANSFORM_OUTPUT}/transformed_metadata/schema.pbtxt",
        *(f"{graph}/{file}" for graph in GRAPHS for file in ("fingerprint.pb", "saved_model.pb")),
        *(f"{graph}/variables/{file}" for graph in GRAPHS for file in _VARIABLES),
    }
)
# Bundles written before these existed lack them.
OPTIONAL_FILES = frozenset({MODEL_CARD, CURVES, TILE_CALIBRATION})
# Where a bundle waits while another is moved to its place.
EARLIER = ".{}.earlier-bundle"

SCORE_PREFIX = "score_"
LATENTS = ("latent_mean", "latent_stddev")
MAPS = ERROR_MAP, ANOMALY_MAP = "error_map", "anomaly_map"
