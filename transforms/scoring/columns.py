"""The columns that scoring adds to a record, with their output types."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ae_models.bundles.names import ERROR_MAP, LATENTS, SCORE_PREFIX
from ae_models.bundles.scorer import check_outputs
from ae_models.config.configuration import Configuration

_INDEX = pa.int32()


def scored_schema(
    config: Configuration, outputs: Sequence[str] | None = None, error_maps: bool = False
) -> pa.Schema:
    """The schema of what `scored_columns` returns for a bundle with this configuration.

    Args:
      config: the bundle's configuration.
      outputs: the latent and score columns to include; if None, all.
      error_maps: whether to include `error_map`.

    Raises:
      ConfigError: the bundle has no such output.
    """
    wanted = check_outputs(config, outputs)
    height, width, _ = config.image.shape
    latents, scores = [name for name in LATENTS if name in wanted], set(wanted) - set(LATENTS)
    maps = [ERROR_MAP] if error_maps else []
    return pa.schema(
        [
            *((name, pa.list_(pa.float32(), config.model.latent_size)) for name in latents),
            *((name, pa.float32()) for name in ("score", *sorted(scores))),
            *((name, pa.list_(pa.float32(), height * width)) for name in maps),
            ("p_value", pa.float64()),
            ("is_anomaly", pa.bool_()),
            ("model", pa.dictionary(_INDEX, pa.string())),
        ]
    )


def scored_columns(
    outputs: dict[str, np.ndarray], p_values: np.ndarray, flags: np.ndarray, fingerprint: str
) -> dict[str, pa.Array]:
    """Arrow columns, in output order, from a `Scorer`'s outputs for N records."""
    columns: dict[str, pa.Array] = {
        name: _vectors(outputs[name]) for name in LATENTS if name in outputs
    }
    columns["score"] = pa.array(outputs["score"], pa.float32())
    for name, values in outputs.items():
        if name.startswith(SCORE_PREFIX):
            columns[name] = pa.array(values, pa.float32())
    if ERROR_MAP in outputs:
        maps = outputs[ERROR_MAP]
        columns[ERROR_MAP] = _vectors(maps.reshape(len(maps), maps.shape[1] * maps.shape[2]))
    columns["p_value"] = pa.array(p_values, pa.float64())
    columns["is_anomaly"] = pa.array(flags, pa.bool_())
    indices = pa.array(np.zeros(len(p_values), np.int32), _INDEX)
    columns["model"] = pa.DictionaryArray.from_arrays(indices, pa.array([fingerprint]))
    return columns


def _vectors(values: np.ndarray) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])


def portable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with plain list<float> latents and maps, double scores and string models, for
    readers that do not support the other types."""
    fields, columns = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        kind = field.type
        if pa.types.is_fixed_size_list(kind):
            kind = pa.list_(pa.field("item", kind.value_type))
        elif pa.types.is_list(kind) and pa.types.is_float16(kind.value_type):
            kind = pa.list_(pa.float32())
        elif pa.types.is_float32(kind):
            kind = pa.float64()
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        fields.append(field.with_type(kind))
        columns.append(column.cast(kind))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))
