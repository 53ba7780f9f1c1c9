"""The programs that are timed: ours, and what a good user would write without it.

Usage: python -m benchmarks.speed.programs NAME INPUT BUNDLE OUTPUT

Each leaves `id` and `score` of every image in Parquet files under OUTPUT, and prints its seconds
and peak memory as JSON.
"""

import dataclasses
import io
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from benchmarks.speed.measure import Measured
from pipelines.score import score

_ROWS = 256
_SCHEMA = pa.schema(
    [("id", pa.string()), ("latent_mean", pa.list_(pa.float32())), ("score", pa.float32())]
)
Program = Callable[[str, Path, Path], None]


def latentbeam(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` as it stands."""
    score([uri], str(bundle), str(output), overwrite=True)


def latentbeam_two_workers(uri: str, bundle: Path, output: Path) -> None:
    """`latentbeam score` in two worker processes."""
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    score([uri], str(bundle), str(output), beam_flags=flags, overwrite=True)


def saved_model(uri: str, bundle: Path, output: Path) -> None:
    """A loop over the SavedModel, pixels in memory: what the network alone costs."""
    function = tf.saved_model.load(str(bundle / "scoring")).signatures["score"]
    images = np.load(uri)["x"][..., None]
    scores = []
    for start in range(0, len(images), _ROWS):
        outputs = function(pixels=tf.constant(images[start : start + _ROWS]))
        arrays = {name: value.numpy() for name, value in outputs.items()}
        scores.append(arrays[_primary(bundle)])
    output.mkdir(parents=True)
    table = pa.table(
        {"id": [f"{i:09d}" for i in range(len(images))], "score": np.concatenate(scores)}
    )
    pq.write_table(table, output / "scores.parquet")


def rows_of_parquet(uri: str, bundle: Path, output: Path) -> None:
    """RunInference over the rows of a Parquet file."""

    def read(pipeline: beam.Pipeline) -> Any:
        return (
            pipeline
            | beam.io.ReadFromParquet(uri, columns=["id", "image"])
            | "Pixels" >> beam.Map(_from_row)
        )

    _by_run_inference(read, bundle, output)


def examples_of_tfrecord(uri: str, bundle: Path, output: Path) -> None:
    """RunInference over tf.train.Examples."""

    def read(pipeline: beam.Pipeline) -> Any:
        return pipeline | beam.io.ReadFromTFRecord(uri) | "Pixels" >> beam.Map(_from_example)

    _by_run_inference(read, bundle, output)


def files_by_pillow(uri: str, bundle: Path, output: Path) -> None:
    """RunInference over image files that Pillow opens, converts and resizes."""
    height, width, channels = _image_shape(bundle)
    mode = {1: "L", 3: "RGB"}[channels]

    def read(pipeline: beam.Pipeline) -> Any:
        return (
            pipeline
            | beam.io.fileio.MatchFiles(f"{uri}/*")
            | beam.Reshuffle()
            | beam.io.fileio.ReadMatches()
            | "Pixels" >> beam.Map(_from_file, mode, (width, height))
        )

    _by_run_inference(read, bundle, output)


PROGRAMS: Mapping[str, Program] = {
    program.__name__: program
    for program in (
        latentbeam,
        latentbeam_two_workers,
        saved_model,
        rows_of_parquet,
        examples_of_tfrecord,
        files_by_pillow,
    )
}


def _from_row(row: dict[str, Any]) -> tuple[str, np.ndarray]:
    return row["id"], np.frombuffer(row["image"], np.uint8).reshape(28, 28, 1)


def _from_example(data: bytes) -> tuple[str, np.ndarray]:
    features = tf.train.Example.FromString(data).features.feature
    image = Image.open(io.BytesIO(features["image/encoded"].bytes_list.value[0]))
    return features["image/filename"].bytes_list.value[0].decode(), np.asarray(image)[..., None]


def _from_file(file: Any, mode: str, size: tuple[int, int]) -> tuple[str, np.ndarray]:
    image = Image.open(io.BytesIO(file.read())).convert(mode)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return Path(file.metadata.path).name, pixels[..., None] if pixels.ndim == 2 else pixels


def _by_run_inference(read: Callable[[beam.Pipeline], Any], bundle: Path, output: Path) -> None:
    # Needs tensorflow_hub, which nothing else here does.
    from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy  # noqa: PLC0415

    output.mkdir(parents=True)
    model = output.parent / f"{output.name}.keras"
    _as_keras(bundle).save(model)
    handler: Any = KeyedModelHandler(
        TFModelHandlerNumpy(str(model), min_batch_size=_ROWS, max_batch_size=_ROWS)
    )
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        (
            read(pipeline)
            | RunInference(handler)
            | "Rows" >> beam.Map(_to_row, _primary(bundle))
            | beam.io.WriteToParquet(str(output / "scores"), _SCHEMA, file_name_suffix=".parquet")
        )


def _as_keras(bundle: Path) -> keras.Model:
    """The bundle's SavedModel as a model that `keras.models.load_model` can load."""
    shape = _image_shape(bundle)
    pixels = keras.Input(shape, dtype="uint8", name="pixels")
    layer = keras.layers.TFSMLayer(str(bundle / "scoring"), call_endpoint="score")
    return keras.Model(pixels, layer(pixels))


def _to_row(result: Any, primary: str) -> dict[str, Any]:
    key, prediction = result
    outputs = prediction.inference
    return {
        "id": key,
        "latent_mean": outputs["latent_mean"].numpy(),
        "score": float(outputs[primary]),
    }


def _manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "manifest.json").read_text())


def _image_shape(bundle: Path) -> tuple[int, int, int]:
    image = _manifest(bundle)["config"]["image"]
    return image["height"], image["width"], image["channels"]


def _primary(bundle: Path) -> str:
    scoring = _manifest(bundle)["config"]["scoring"]
    return f"score_{scoring['primary'] or 'reconstruction_smoothed'}"


def main(arguments: Sequence[str]) -> None:
    """Runs one program and prints what it took."""
    name, uri, bundle, output = arguments
    started = time.monotonic()
    PROGRAMS[name](uri, Path(bundle), Path(output))
    seconds = time.monotonic() - started
    kibibytes = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps(dataclasses.asdict(Measured(seconds, kibibytes / 1024))))


if __name__ == "__main__":
    main(sys.argv[1:])
