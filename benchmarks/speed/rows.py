"""The rows of the page, and what each must reach."""

from benchmarks.speed.contests import Contest, Side

_ARRAYS, _PARQUET, _TFRECORD = "npz", "parquet", "tfrecord"

CONTESTS = (
    Contest(
        "array path beside the SavedModel alone, dense AE",
        "dense",
        Side("latentbeam", _ARRAYS),
        Side("saved_model", _ARRAYS),
        (60_000, 300_000),
        at_least=0.85,
    ),
    Contest(
        "array path beside the SavedModel alone, convolutional VAE",
        "convolutional_vae",
        Side("latentbeam", _ARRAYS),
        Side("saved_model", _ARRAYS),
        (10_000, 50_000),
        at_least=0.95,
    ),
    Contest(
        "binary column beside RunInference over rows",
        "dense",
        Side("latentbeam", _PARQUET),
        Side("rows_of_parquet", _PARQUET),
        (20_000, 120_000),
        at_least=5.0,
    ),
    Contest(
        "JPEGs of 1024² to 64² beside Pillow and RunInference",
        "thumbnails",
        Side("latentbeam", "photographs"),
        Side("files_by_pillow", "photographs"),
        (1_000, 10_000),
        at_least=3.0,
        same_scores=False,
    ),
    Contest(
        "small PNG files beside Pillow and RunInference",
        "dense",
        Side("latentbeam", "pngs"),
        Side("files_by_pillow", "pngs"),
        (10_000, 100_000),
        at_least=1.5,
    ),
    Contest(
        "TFRecord beside ReadFromTFRecord and RunInference",
        "dense",
        Side("latentbeam", _TFRECORD),
        Side("examples_of_tfrecord", _TFRECORD),
        (20_000, 120_000),
        at_least=3.0,
    ),
    Contest(
        "two worker processes beside one, decode-bound",
        "thumbnails",
        Side("latentbeam_two_workers", "photographs"),
        Side("latentbeam", "photographs"),
        (1_000, 10_000),
        at_least=1.7,
    ),
)
