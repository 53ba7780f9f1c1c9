"""Lines that native code prints on stderr, past Python and all logging."""

import contextlib
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def native_lines_hidden() -> Iterator[None]:
    """No stderr in the block, where TensorFlow may be imported: no setting of its own keeps off
    what its native code prints on the way, and where it first looks for devices."""
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
