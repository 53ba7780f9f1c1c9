"""tf.Transform's full pass over the training records' pixels."""

import functools
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from apache_beam.pvalue import PCollection
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.tfxio.tensor_adapter import TensorAdapterConfig

from ae_models.config.configuration import ImageConfig, PreprocessingConfig
from ae_models.training.preprocessing import PIXELS
from transforms.records.batches import IMAGE
from transforms.records.pixels import Layout, Shape, pixels_from_arrow

# For `quantile`: an anomaly brighter or darker than all normal records remains visible as such, and
# a hot pixel has no greater weight.
_QUANTILE_CUT = (-1.0, 2.0)
_SMALLEST_OF_FEATURES = 0.01
_SMALLEST_SCALE = 1e-6  # for a data set whose pixels are all equal


def _unit(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    pixels = inputs[PIXELS]
    low, high = tft.min(pixels), tft.max(pixels)
    return {PIXELS: (pixels - low) / tf.maximum(high - low, _SMALLEST_SCALE)}


def _standard(smallest: float, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Standardises channels. A channel's deviation counts as at least `smallest` times the mean
    deviation of all channels."""
    pixels = inputs[PIXELS]
    values = tf.reshape(pixels, [-1, pixels.shape[-1]])
    mean = tft.mean(values, reduce_instance_dims=False)
    deviation = tf.sqrt(tft.var(values, reduce_instance_dims=False))
    least = tf.maximum(smallest * tf.reduce_mean(deviation), _SMALLEST_SCALE)
    return {PIXELS: (pixels - mean) / tf.maximum(deviation, least)}


def _full_range(largest: float, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {PIXELS: inputs[PIXELS] / largest}


def _quantile(low: int, high: int, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    scaled = (inputs[PIXELS] - low) / max(high - low, 1)
    return {PIXELS: tf.clip_by_value(scaled, *_QUANTILE_CUT)}


def _scaling(
    name: str | None, image: ImageConfig, scale: tuple[int, int] | None, smallest: float = 0.0
) -> Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """The scaling function. Each scaling has a separate function that computes only the statistics
    it uses, as tf.Transform makes one pass per analyser of a function."""
    if name == "full_range":
        return functools.partial(_full_range, float(image.greatest_level))
    if name == "quantile":
        if scale is None:
            raise ValueError("the scaling 'quantile' needs the levels that become 0 and 1")
        return functools.partial(_quantile, *scale)
    return functools.partial(_standard, smallest) if name == "standard" else _unit


def pixels_to_features(batch: pa.RecordBatch, layout: Layout) -> pa.RecordBatch:
    """The images of a decoded batch as the single column that tf.Transform reads, list<float>."""
    images = pixels_from_arrow(batch.column(IMAGE), *layout)
    values = pa.array(images.reshape(-1).astype(np.float32))
    offsets = pa.array(np.arange(len(images) + 1) * int(np.prod(layout[0])), pa.int32())
    return pa.RecordBatch.from_arrays([pa.ListArray.from_arrays(offsets, values)], [PIXELS])


def _adapter_config(shape: Shape) -> TensorAdapterConfig:
    representation = schema_pb2.TensorRepresentation()
    representation.dense_tensor.column_name = PIXELS
    for side in shape:
        representation.dense_tensor.shape.dim.add(size=side)
    schema = pa.schema([(PIXELS, pa.list_(pa.float32()))])
    return TensorAdapterConfig(schema, {PIXELS: representation})


class AnalyzePixels(beam.PTransform):
    """Decoded records of the training split → tf.Transform's output in a folder.

    Args:
      image: the shape and type of the pixels.
      preprocessing: the scaling, which determines the statistics to compute.
      output: the folder to write; it must not exist.
      temporary: a folder for tf.Transform's temporary files.
      scale: the levels that become 0 and 1, for the scaling `quantile`.
      layout: shape and type of what is analysed instead of pixels; if None, pixels.
    """

    def __init__(
        self,
        image: ImageConfig,
        preprocessing: PreprocessingConfig,
        output: str,
        temporary: str,
        scale: tuple[int, int] | None = None,
        layout: Layout | None = None,
    ):
        super().__init__()
        self._scale, self._layout = scale, layout or (image.shape, np.dtype(image.dtype))
        # Otherwise a feature that is rare in training would dominate wherever it occurs.
        self._smallest = 0.0 if layout is None else _SMALLEST_OF_FEATURES
        self._image, self._preprocessing = image, preprocessing
        self._output, self._temporary = output, temporary

    def expand(self, records: PCollection[pa.RecordBatch]) -> Any:
        features = records | "Features" >> beam.Map(
            pixels_to_features, self._layout
        ).with_output_types(pa.RecordBatch)
        with tft_beam.Context(temp_dir=self._temporary):
            transform_fn = (
                features,
                _adapter_config(self._layout[0]),
            ) | "Analyze" >> tft_beam.AnalyzeDataset(
                _scaling(self._preprocessing.scaling, self._image, self._scale, self._smallest)
            )
            return transform_fn | "WriteTransformFn" >> tft_beam.WriteTransformFn(self._output)
