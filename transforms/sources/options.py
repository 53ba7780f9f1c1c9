"""How inputs are read: the same for all inputs of a run, and kept in its ledger."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from ae_models.errors import ConfigError

FORMATS = ("images", "parquet", "tfrecord", "webdataset", "npz")


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What is not to be found from the inputs themselves.

    Args:
      format: the kind of every input, one of `FORMATS`; None: found from names and first bytes.
      image_column, id_column, label_column: the column, feature or array of images, of ids and of
        labels, by its name in the inputs; None: found by the usual names.
      exclude: patterns of paths, relative to the input, that are not read: `*.tmp`, `old/**`.
      follow_links: whether links that lead out of the input's own folder are followed too.

    Raises:
      ConfigError: `format` is no known one, or a name is empty.
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
            raise ConfigError(f"the format is one of {known}. Received: {self.format!r}")
        for name in ("image_column", "id_column", "label_column"):
            if getattr(self, name) == "":
                raise ConfigError(f"{name} must be a column's name. Received: ''")
        object.__setattr__(self, "exclude", tuple(self.exclude))
        if "" in self.exclude:
            raise ConfigError("exclude must be a pattern of paths. Received: ''")

    @classmethod
    def from_ledger(cls, ledger: Mapping[str, Any]) -> Self:
        """Those that a run was read with.

        Raises:
          ConfigError: the ledger's are none.
        """
        try:
            return cls(**ledger.get("reading", {}))
        except TypeError as error:
            raise ConfigError(
                f"the run was read in a way that is not known here: {error}"
            ) from error

    def given(self) -> dict[str, Any]:
        """Those that are not the usual ones, as JSON can hold them."""
        usual = type(self)()
        values = {**vars(self), "exclude": list(self.exclude)}
        return {
            name: values[name]
            for name, value in vars(usual).items()
            if getattr(self, name) != value
        }

    def with_given(self, other: "ReadOptions") -> "ReadOptions":
        """These, but for those that `other` gives."""
        return type(self)(**{**self.given(), **other.given()})


USUAL = ReadOptions()
