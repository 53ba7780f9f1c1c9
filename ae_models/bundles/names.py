"""The files of a bundle and the outputs of its SavedModel, by name. Imports nothing."""

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
KERAS_MODEL = "model.keras"
TRANSFORM_OUTPUT = "transform_fn"
SCORING = "scoring"
CALIBRATION = "calibration.parquet"
TILE_CALIBRATION = "calibration_tiles.parquet"  # where images are looked at in tiles
MODEL_CARD = "model_card.md"
CURVES = "curves.png"
GRAPHS = (SCORING, f"{TRANSFORM_OUTPUT}/transform_fn")
_VARIABLES = ("variables.data-00000-of-00001", "variables.index")
# A bundle has all of these files and, but for optional ones, no others.
FILES = frozenset(
    {
        KERAS_MODEL,
        CALIBRATION,
        f"{TRANSFORM_OUTPUT}/transformed_metadata/schema.pbtxt",
        *(f"{graph}/{file}" for graph in GRAPHS for file in ("fingerprint.pb", "saved_model.pb")),
        *(f"{graph}/variables/{file}" for graph in GRAPHS for file in _VARIABLES),
    }
)
# Those written before there was one have none of these.
OPTIONAL_FILES = frozenset({MODEL_CARD, CURVES, TILE_CALIBRATION})
# Where a bundle waits while another is moved to its place.
EARLIER = ".{}.earlier-bundle"

SCORE_PREFIX = "score_"
LATENTS = ("latent_mean", "latent_stddev")
MAPS = ERROR_MAP, ANOMALY_MAP = "error_map", "anomaly_map"
