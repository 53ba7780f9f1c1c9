"""The measures of the suite, with their targets."""

from benchmarks.speed.contests import Contest, Side
from benchmarks.speed.growth import Growth
from benchmarks.speed.outcome import Measure
from benchmarks.speed.start import Start
from benchmarks.speed.training import Training

_ARRAYS, _COLUMN, _RECORDS, _PNGS, _PHOTOGRAPHS, _SNAPSHOTS, _SMALL_SNAPSHOTS = (
    Side("ours", "latentbeam", kind)
    for kind in (
        "npz",
        "parquet",
        "tfrecord",
        "pngs",
        "photographs",
        "snapshots",
        "small_snapshots",
    )
)

_DIGITS, _NEW = ("--input", "builtin:digits"), ("--output", "{new}", "--overwrite")

MEASURES: tuple[Measure, ...] = (
    Contest(
        "array path beside the SavedModel alone, dense AE",
        "dense",
        _ARRAYS,
        Side("beside", "saved_model", "npz"),
        (60_000, 300_000),
        at_least=0.85,
    ),
    Contest(
        "array path beside the SavedModel alone, convolutional VAE",
        "convolutional_vae",
        _ARRAYS,
        Side("beside", "saved_model", "npz"),
        (10_000, 60_000),
        at_least=0.95,
    ),
    Contest(
        "binary column beside row-wise RunInference",
        "dense",
        _COLUMN,
        Side("beside", "rows_of_parquet", "parquet"),
        (60_000, 300_000),
        at_least=5.0,
    ),
    Contest(
        "JPEGs of 1024² to 64² beside Pillow feeding RunInference",
        "thumbnails",
        _PHOTOGRAPHS,
        Side("beside", "files_by_pillow", "photographs"),
        (1_000, 10_000),
        at_least=3.0,
        tolerance=0.02,
    ),
    Contest(
        "small PNG files beside Pillow feeding RunInference",
        "dense",
        _PNGS,
        Side("beside", "files_by_pillow", "pngs"),
        (10_000, 100_000),
        at_least=1.5,
    ),
    Contest(
        "TFRecord beside ReadFromTFRecord, tf.train.Example, RunInference",
        "dense",
        _RECORDS,
        Side("beside", "examples_of_tfrecord", "tfrecord"),
        (20_000, 120_000),
        at_least=3.0,
    ),
    Contest(
        "two worker processes beside one, decode-bound",
        "thumbnails",
        Side("ours", "two_workers", "photographs"),
        Side("ours", "one_worker", "photographs"),
        (1_000, 5_000),
        at_least=1.7,
    ),
    *(
        Contest(
            f"JPEGs of {side}² to features and scores beside the backbone's SavedModel on arrays",
            "features",
            ours,
            Side("beside", "backbone_alone", ours.input),
            (400, 2_000),
            at_least=0.9,
            tolerance=None,
        )
        for side, ours in ((400, _SNAPSHOTS), (224, _SMALL_SNAPSHOTS))
    ),
    Growth("peak memory, arrays, 10 × the images", "dense", _ARRAYS, (60_000, 600_000), 1.1),
    Growth(
        "peak memory, JPEGs of 1024², 10 × the images",
        "thumbnails",
        _PHOTOGRAPHS,
        (500, 5_000),
        1.1,
    ),
    Growth("peak memory, features, 10 × the images", "features", _SNAPSHOTS, (200, 2_000), 1.1),
    Training("training from disk beside bare fit in memory, dense AE", "dense", 0.95),
    Training(
        "training from disk beside bare fit in memory, convolutional AE", "convolutional", 0.95
    ),
    Start("latentbeam --help", 0.5, ("--help",)),
    Start("latentbeam inspect", 1.5, ("inspect", "{bundle}")),
    Start("latentbeam verify", 1.5, ("verify", "--scores", "{run}", *_DIGITS)),
    Start("latentbeam relabel", 1.5, ("relabel", "--scores", "{run}", "--fpr", "0.05", *_NEW)),
    Start("latentbeam evaluate", 1.5, ("evaluate", "--scores", "{run}", "--anomalous", "label=9")),
    Start("latentbeam score, digits", 5.0, ("score", "--model", "{bundle}", *_DIGITS, *_NEW)),
)

ON_FLINK: tuple[Measure, ...] = (
    Contest(
        "Flink, one TaskManager with two slots, beside two worker processes",
        "dense",
        Side("ours", "on_flink", "parquet"),
        Side("ours", "two_workers", "parquet"),
        (120_000, 2_400_000),
        at_least=1 / 1.5,
    ),
)
