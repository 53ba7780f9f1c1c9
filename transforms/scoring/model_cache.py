"""Models in memory by key, bounded in number."""

import collections
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Model = TypeVar("Model")


class BoundedModels(Generic[Model]):
    """Loads a model on request, and releases the one that has been idle longest.

    Beam's `KeyedModelHandler` does so too, but each of its loads leaves behind a server thread, a
    socket and two files, and its bound applies per instance of a stage, not per process.

    Args:
      load: loads the model of a key.
      most: the maximum number of models in memory at any time, including those in use.
    """

    def __init__(self, load: Callable[[str], Model], most: int):
        self._load, self._most = load, most
        self._models: collections.OrderedDict[str, Model] = collections.OrderedDict()
        self._users: collections.Counter[str] = collections.Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def use(self, key: str, on_load: Callable[[], None] = lambda: None) -> Iterator[Model]:
        """Yields the model of `key`, which stays loaded until the block ends. Waits for room while
        all loaded models are in use.

        Args:
          key: the model's key.
          on_load: called if the model had to be loaded.
        """
        with self._changed:
            while key not in self._models and not self._make_room():
                self._changed.wait()
            if key not in self._models:
                self._models[key] = self._load(key)
                on_load()
            self._models.move_to_end(key)
            self._users[key] += 1
            model = self._models[key]
        try:
            yield model
        finally:
            del model  # otherwise this frame would keep it alive while another replaces it
            with self._changed:
                self._users[key] -= 1
                self._changed.notify_all()

    def _make_room(self) -> bool:
        if len(self._models) < self._most:
            return True
        idle = next((key for key in self._models if not self._users[key]), None)
        if idle is None:
            return False
        del self._models[idle]
        gc.collect()  # a SavedModel is full of cycles: few objects, but much memory
        return True
