"""Losses in TensorBoard's format; TensorBoard need not be installed to write them."""

from typing import Any

import tensorflow as tf

from ae_models.errors import OutputError
from pipelines.console.progress import say

_SCALARS = "scalars"  # TensorBoard's plugin of that name


class TensorBoardLog:
    """Event files in a folder, as `tf.summary.scalar` would write them.

    Args:
      folder: a local or remote path that TensorFlow can reach.

    Raises:
      OutputError: the folder cannot be written to.
    """

    def __init__(self, folder: str):
        self._folder = folder
        try:
            self._writer: Any = tf.summary.create_file_writer(folder)
            self._writer.flush()
        except tf.errors.OpError as error:
            raise OutputError(f"cannot write {folder}: {error.message}") from error
        plugin = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=_SCALARS)
        self._metadata = tf.compat.v1.SummaryMetadata(plugin_data=plugin)

    def add(self, epoch: int, losses: dict[str, float]) -> None:
        """Adds the losses, by name, of an epoch, counted from 1."""
        if self._writer is None:
            return
        try:
            with self._writer.as_default():
                for name, value in losses.items():
                    tensor = tf.constant(value, tf.float32)
                    tf.summary.write(f"epoch_{name}", tensor, epoch, self._metadata)
            self._writer.flush()
        except tf.errors.OpError as error:  # no reason to stop training
            say(f"warning: losses are no longer written to {self._folder}: {error.message}")
            self._writer = None
