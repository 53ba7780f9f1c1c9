"""Lines that native code prints on stderr, bypassing Python and all logging."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def native_lines_hidden() -> Iterator[None]:
    """Discards stderr in the block, which may import TensorFlow: no setting of TensorFlow silences
    what its native code prints on import, and when it first looks for devices."""
    sys.stderr.flush()
    stderr = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
        if tensorflow := sys.modules.get("tensorflow"):
            tensorflow.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
