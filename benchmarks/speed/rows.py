"""The rows of the page, and what each must reach."""

from benchmarks.speed.contests import Contest, Side

_ARRAYS, _PARQUET, _TFRECORD = "npz", "parquet", "tfrecord"

CONTESTS = (
    Contest(
        "array path beside the SavedModel alone, dense AE",
        "dense",
        Side("ours", "latentbeam", _ARRAYS),
        Side("beside", "saved_model", _ARRAYS),
        (60_000, 300_000),
        at_least=0.85,
    ),
    Contest(
        "array path beside the SavedModel alone, convolutional VAE",
        "convolutional_vae",
        Side("ours", "latentbeam", _ARRAYS),
        Side("beside", "saved_model", _ARRAYS),
        (10_000, 50_000),
        at_least=0.95,
    ),
    Contest(
        "binary column beside RunInference over rows",
        "dense",
        Side("ours", "latentbeam", _PARQUET),
        Side("beside", "rows_of_parquet", _PARQUET),
        (20_000, 120_000),
        at_least=5.0,
    ),
    Contest(
        "JPEGs of 1024² to 64² beside Pillow and RunInference",
        "thumbnails",
        Side("ours", "latentbeam", "photographs"),
        Side("beside", "files_by_pillow", "photographs"),
        (1_000, 10_000),
        at_least=3.0,
        same_scores=False,
    ),
    Contest(
        "small PNG files beside Pillow and RunInference",
        "dense",
        Side("ours", "latentbeam", "pngs"),
        Side("beside", "files_by_pillow", "pngs"),
        (10_000, 100_000),
        at_least=1.5,
    ),
    Contest(
        "TFRecord beside ReadFromTFRecord and RunInference",
        "dense",
        Side("ours", "latentbeam", _TFRECORD),
        Side("beside", "examples_of_tfrecord", _TFRECORD),
        (20_000, 120_000),
        at_least=3.0,
    ),
    Contest(
        "two worker processes beside one, decode-bound",
        "thumbnails",
        Side("ours", "two_workers", "photographs"),
        Side("ours", "one_worker", "photographs"),
        (1_000, 10_000),
        at_least=1.7,
    ),
)
