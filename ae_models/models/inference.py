"""A model's inference for a batch of records, each quantity computed on first access."""

from collections.abc import Callable, Iterator, Mapping

from ae_models.ops.tensor import Tensor

# A quantity as a function of its inference, from which it may read other quantities.
Quantity = Callable[["Inference"], Tensor]


class Inference(Mapping[str, Tensor]):
    """Named tensors, computed lazily: scores that are not configured cost nothing.

    >>> inference = Inference({"one": lambda _: 1, "two": lambda own: own["one"] + 1})
    >>> inference["two"]
    2
    """

    def __init__(self, quantities: Mapping[str, Quantity]):
        self._quantities = dict(quantities)
        self._computed: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._computed:
            self._computed[name] = self._quantities[name](self)
        return self._computed[name]

    def __contains__(self, name: object) -> bool:
        return name in self._quantities

    def __iter__(self) -> Iterator[str]:
        return iter(self._quantities)

    def __len__(self) -> int:
        return len(self._quantities)

    def __or__(self, more: Mapping[str, Quantity]) -> "Inference":
        """An inference with `more` quantities."""
        result = Inference(self._quantities | dict(more))
        result._computed = dict(self._computed)
        return result
