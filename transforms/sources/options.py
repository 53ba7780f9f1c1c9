"""How inputs are read: the same for all inputs of a run, and stored in its ledger."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ae_models.errors import ConfigError

FORMATS = ("images", "parquet", "tfrecord", "webdataset", "npz")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How to read inputs, where the inputs themselves do not determine it.

    Args:
      format: the kind of every input, one of `FORMATS`; None detects it from names and first bytes.
      image_column, id_column, label_column: name in the inputs of the column, feature or array of
        images, ids or labels; None searches for the usual names.
      exclude: patterns of paths to exclude, relative to the input: `*.tmp`, `old/**`.
      follow_links: whether to follow links that lead out of the input's folder.

    Raises:
      ConfigError: `format` is unknown, or a name or pattern is empty.
    """

    format: str | None = None
    image_column: str | None = None
    id_column: str | None = None
    label_column: str | None = None
    exclude: tuple[str, ...] = ()
    follow_links: bool = False

    def __post_init__(self) -> None:
        if self.format not in (None, *FORMATS):
            known = ", ".join(FORMATS)
            raise ConfigError(f"format must be one of {known}. Received: {self.format!r}")
        for name in ("image_column", "id_column", "label_column"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} must be a column name. Received: ''")
        object.__setattr__(self, "exclude", tuple(self.exclude))
        if "" in self.exclude:
            raise ConfigError("exclude must be a path pattern. Received: ''")

    @classmethod
    def from_ledger(cls, ledger: Mapping[str, Any]) -> Self:
        """The options with which a run was read.

        Raises:
          ConfigError: the ledger contains unsupported options.
        """
        try:
            return cls(**ledger.get("reading", {}))
        except TypeError as error:
            raise ConfigError(
                f"the run's ledger contains unsupported read options: {error}"
            ) from error

    def given(self) -> dict[str, Any]:
        """The options that differ from the defaults, as JSON values."""
        usual = type(self)()
        values = {**vars(self), "exclude": list(self.exclude)}
        return {
            name: values[name]
            for name, value in vars(usual).items()
            if getattr(self, name) != value
        }

    def with_given(self, other: "ReadOptions") -> "ReadOptions":
        """These options, overridden by those given in `other`."""
        return type(self)(**{**self.given(), **other.given()})


USUAL = ReadOptions()
