"""The labelled records of a finished run, with their labels as text."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError
from transforms.records.categories import categories_of
from transforms.results.reader import sample_rows, scored_schema


class LabelledRows(NamedTuple):
    """The labelled rows of a sample, their labels, and the total number of rows sampled."""

    rows: pa.Table
    labels: list[str]
    sampled: int


def check_label(scores: str, label: str) -> None:
    """Checks that a column of a run's records can serve as a label.

    Raises:
      InputError: there is no finished run, or it has no scored records.
      ConfigError: there is no such column, or it contains neither names nor numbers.
    """
    schema = scored_schema(scores)
    if label not in schema.names:
        raise ConfigError(f"{scores} has no column {label!r}{suggestion(label, schema.names)}")
    categories_of(schema.empty_table(), label)  # raises if its type cannot name a class


def sample_labelled(
    scores: str,
    columns: Sequence[str],
    label: str,
    *,
    count: int,
    seed: int,
    show: Callable[[int], None] = lambda _: None,
) -> LabelledRows:
    """`sample_rows`, without the unlabelled rows.

    Raises:
      InputError: there is no finished run, it has no scored records, or a file cannot be read.
      ConfigError: the column contains neither names nor numbers.
    """
    table = sample_rows(scores, [*columns, label], count=count, seed=seed, show=show)
    labels = categories_of(table, label)
    known = pc.is_valid(labels)
    return LabelledRows(table.filter(known), labels.filter(known).to_pylist(), len(table))
