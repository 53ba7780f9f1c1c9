"""The records of a finished run that have a label, and that label as text."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ae_models.config.validated import suggestion
from ae_models.errors import ConfigError
from transforms.records.categories import categories_of
from transforms.results.reader import sample_rows, scored_schema


class LabelledRows(NamedTuple):
    """Rows of a sample that have a label, the label of each, and how many the sample had."""

    rows: pa.Table
    labels: list[str]
    sampled: int


def check_label(scores: str, label: str) -> None:
    """Whether a run's records can be told by a column.

    Raises:
      InputError: no finished run, or one without scored records.
      ConfigError: no such column, or one that holds no names or numbers.
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
    """`sample_rows`, without those that have no label.

    Raises:
      InputError: no finished run, one without scored records, or a file that cannot be read.
      ConfigError: the column holds no names or numbers.
    """
    table = sample_rows(scores, [*columns, label], count=count, seed=seed, show=show)
    labels = categories_of(table, label)
    known = pc.is_valid(labels)
    return LabelledRows(table.filter(known), labels.filter(known).to_pylist(), len(table))
