"""Baselines: what a good user would write without latentbeam.

Usage: python -m benchmarks.speed.beside NAME INPUT BUNDLE OUTPUT

Each program writes the `score` of every image to Parquet files under OUTPUT.
"""

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from apache_beam.ml.inference.base import KeyedModelHandler, PredictionResult, RunInference
from apache_beam.ml.inference.tensorflow_inference import TFModelHandlerNumpy
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from ae_models.backbones.feature_maps import FeatureMaps
from ae_models.bundles.bundle import open_bundle
from benchmarks.speed.programs import measure
from transforms.images.decoding import decode_image

_ROWS = 256
_LOOP_ROWS, _BACKBONE_ROWS = (64, 256, 1024), (8, 16, 24, 32)
_SCHEMA = pa.schema(
    [("id", pa.string()), ("latent_mean", pa.list_(pa.float32())), ("score", pa.float32())]
)


def saved_model(uri: str, bundle: Path, output: Path) -> float:
    """A loop that calls the SavedModel on pixels in memory, with the fastest batch size; returns
    the seconds of the loop alone."""
    function = tf.saved_model.load(str(bundle / "scoring")).signatures["score"]
    images = np.load(uri)["x"][..., None]

    def loop(images: np.ndarray, rows: int) -> tuple[float, list[dict[str, np.ndarray]]]:
        parts = []
        started = time.monotonic()
        for start in range(0, len(images), rows):
            outputs = function(pixels=tf.constant(images[start : start + rows]))
            parts.append({name: value.numpy() for name, value in outputs.items()})
        return time.monotonic() - started, parts

    sample = images[: 8 * max(_LOOP_ROWS)]
    loop(sample, _ROWS)  # TensorFlow's first calls take longer
    fastest = min(_LOOP_ROWS, key=lambda rows: loop(sample, rows)[0])
    seconds, parts = loop(images, fastest)
    output.mkdir(parents=True)
    scores = np.concatenate([part[_primary(bundle)] for part in parts])
    pq.write_table(pa.table({"score": scores}), output / "scores.parquet")
    return seconds


def backbone_alone(uri: str, bundle: Path, output: Path) -> float:
    """A loop that calls the SavedModel of the bundle's backbone on decoded pixels in memory, with
    the fastest batch size; returns the seconds of the loop alone. It writes no scores."""
    config = open_bundle(bundle).config
    output.mkdir(parents=True)
    features = FeatureMaps(config.features, config.image)
    spec = tf.TensorSpec((None, *config.image.shape), config.image.dtype, name="pixels")
    maps = tf.function(lambda pixels: dict(enumerate_maps(features.maps(pixels))))
    signatures = {"maps": maps.get_concrete_function(spec)}
    tf.saved_model.save(features, str(output / "backbone"), signatures=signatures)
    function = tf.saved_model.load(str(output / "backbone")).signatures["maps"]
    images = np.stack(
        [decode_image(path.read_bytes(), config.image) for path in sorted(Path(uri).iterdir())[:64]]
    )
    count = sum(1 for _ in Path(uri).iterdir())

    def loop(count: int, rows: int) -> float:
        started = time.monotonic()
        for _ in range(0, count, rows):
            for value in function(pixels=tf.constant(images[:rows])).values():
                value.numpy()
        return time.monotonic() - started

    loop(max(_BACKBONE_ROWS), _BACKBONE_ROWS[0])  # TensorFlow's first calls take longer
    fastest = min(_BACKBONE_ROWS, key=lambda rows: loop(4 * max(_BACKBONE_ROWS), rows))
    return loop(count, fastest)


def enumerate_maps(maps: Sequence[tf.Tensor]) -> Iterable[tuple[str, tf.Tensor]]:
    """The maps, with names that are valid in a signature."""
    return ((f"map_{number}", layer) for number, layer in enumerate(maps))


def rows_of_parquet(uri: str, bundle: Path, output: Path) -> None:
    """RunInference over the rows of a Parquet file."""
    shape = _image_shape(bundle)

    def read(pipeline: beam.Pipeline) -> Any:
        return (
            pipeline
            | beam.io.ReadFromParquet(uri, columns=["id", "image"])
            | "Pixels" >> beam.Map(_from_row, shape)
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
            | "Pixels" >> beam.Map(_from_file, mode, (width, height))
        )

    _by_run_inference(read, bundle, output)


def _from_row(row: dict[str, Any], shape: tuple[int, int, int]) -> tuple[str, np.ndarray]:
    return row["id"], np.frombuffer(row["image"], np.uint8).reshape(shape)


def _from_example(data: bytes) -> tuple[str, np.ndarray]:
    features = tf.train.Example.FromString(data).features.feature
    image = Image.open(io.BytesIO(features["image/encoded"].bytes_list.value[0]))
    return features["image/filename"].bytes_list.value[0].decode(), np.asarray(image)[..., None]


def _from_file(file: Any, mode: str, size: tuple[int, int]) -> tuple[str, np.ndarray]:
    image = Image.open(file.path).convert(mode)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(image)
    return Path(file.path).name, pixels[..., None] if pixels.ndim == 2 else pixels


def _by_run_inference(read: Callable[[beam.Pipeline], Any], bundle: Path, output: Path) -> None:
    output.mkdir(parents=True)
    model = output.parent / f"{output.name}.keras"
    _as_keras(bundle).save(model)
    handler: Any = KeyedModelHandler(
        TFModelHandlerNumpy(
            str(model),
            load_model_args={"safe_mode": False},  # it refers to the bundle, which we trust
            inference_fn=_infer,
            min_batch_size=_ROWS,
            max_batch_size=_ROWS,
        )
    )
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as pipeline:
        (
            read(pipeline)
            | RunInference(handler)
            | "Rows" >> beam.Map(_to_row, _primary(bundle))
            | beam.io.WriteToParquet(str(output / "scores"), _SCHEMA, file_name_suffix=".parquet")
        )


def _infer(
    model: Any, batch: Sequence[np.ndarray], arguments: dict[str, Any], model_id: str | None = None
) -> Iterable[PredictionResult]:
    """Like the handler's, but converts entire outputs to NumPy, not each record's tensor."""
    del arguments
    outputs = {name: value.numpy() for name, value in model(np.stack(batch)).items()}
    rows = zip(*outputs.values(), strict=True)
    return [
        PredictionResult(example, dict(zip(outputs, row, strict=True)), model_id)
        for example, row in zip(batch, rows, strict=True)
    ]


def _as_keras(bundle: Path) -> keras.Model:
    """The bundle's SavedModel as a model that `keras.models.load_model` can load."""
    pixels = keras.Input(_image_shape(bundle), dtype="uint8", name="pixels")
    layer = keras.layers.TFSMLayer(str(bundle / "scoring"), call_endpoint="score")
    return keras.Model(pixels, layer(pixels))


def _to_row(result: Any, primary: str) -> dict[str, Any]:
    key, prediction = result
    outputs = prediction.inference
    return {"id": key, "latent_mean": outputs["latent_mean"], "score": outputs[primary]}


def _manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "manifest.json").read_text())


def _image_shape(bundle: Path) -> tuple[int, int, int]:
    image = _manifest(bundle)["config"]["image"]
    return image["height"], image["width"], image["channels"]


def _primary(bundle: Path) -> str:
    return f"score_{_manifest(bundle)['config']['scoring']['primary']}"


PROGRAMS = (saved_model, backbone_alone, rows_of_parquet, examples_of_tfrecord, files_by_pillow)

if __name__ == "__main__":
    measure({program.__name__: program for program in PROGRAMS}, sys.argv[1:])
