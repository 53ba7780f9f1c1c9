"""A bounded number of models in memory, by key."""

import collections
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Model = TypeVar("Model")


class BoundedModels(Generic[Model]):
    """Loads a model when it is asked for, and lets go of the one that was idle for longest.

    Beam's `KeyedModelHandler` does so too, but each load costs it a server thread, a socket and two
    files that stay, and its bound is one for each instance of a stage, not for a process.

    Args:
      load: makes the model of a key.
      most: the most models that are held, those in use among them, at any time.
    """

    def __init__(self, load: Callable[[str], Model], most: int):
        self._load, self._most = load, most
        self._models: collections.OrderedDict[str, Model] = collections.OrderedDict()
        self._users: collections.Counter[str] = collections.Counter()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def use(self, key: str, on_load: Callable[[], None] = lambda: None) -> Iterator[Model]:
        """The model of `key`, which stays until the block ends; waits while all others are in use.

        Args:
          on_load: called when the model had to be loaded.
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
            del model  # or this frame would hold it while another takes its place
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
        gc.collect()  # a SavedModel is full of cycles, and few objects hold much memory
        return True
