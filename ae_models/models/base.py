"""The base of the three auto-encoders: construction from a configuration, losses, Keras saving."""

import abc
from collections.abc import Iterator
from typing import Any, ClassVar

import keras
import tensorflow as tf
from keras import ops

from ae_models.config.model import (
    ModelConfig,
    as_trained,
    model_config_from_mapping,
    model_config_to_mapping,
)
from ae_models.models.inference import Inference
from ae_models.networks import NETWORKS
from ae_models.ops.seeds import layer_seeds
from ae_models.ops.tensor import Tensor


class ImageModel(keras.Model, abc.ABC):
    """An auto-encoder of images (N, H, W, C) float32, scaled.

    Equal seeds give equal initial weights and equal random draws in training.
    """

    config_class: ClassVar[type[ModelConfig]]

    def __init__(
        self,
        config: ModelConfig,
        image_shape: tuple[int, int, int],
        seed: int = 0,
        **kwargs: Any,
    ):
        if not isinstance(config, self.config_class):
            raise TypeError(f"config must be a {self.config_class.__name__}. Received: {config!r}")
        super().__init__(**kwargs)
        self.config = config
        self.image_shape: tuple[int, int, int] = image_shape
        self.seed = seed
        self._add_networks(layer_seeds(seed))
        self.built = True  # every weight exists before the first call

    def _add_networks(self, seeds: Iterator[int]) -> None:
        network = NETWORKS[self.config.network]
        shape, activation = self.image_shape, self.config.activation
        widths = self.config.widths or network.default_widths(shape)
        self.encoder = network.encoder(
            shape, widths, self.encoder_outputs, activation=activation, seeds=seeds
        )
        self.decoder = network.decoder(
            shape,
            widths,
            self.config.latent_size,
            channels=self.decoder_channels,
            activation=activation,
            seeds=seeds,
        )

    @property
    def encoder_outputs(self) -> int:
        """The number of values that the encoder returns per record."""
        return self.config.latent_size

    @property
    def decoder_channels(self) -> int:
        """The number of values that the decoder returns per pixel."""
        return self.image_shape[-1]

    @abc.abstractmethod
    def infer(self, x: Tensor) -> Inference:
        """The quantities from which scores are computed; a record's depend on that record alone.

        Always `latent_mean` (N, d) and `reconstruction` (N, H, W, C); a kind may add others.
        """

    @abc.abstractmethod
    def decode(self, latent: Tensor) -> Tensor:
        """Decodes latents (N, d) to images (N, H, W, C), scaled."""

    @abc.abstractmethod
    def training_loss(self, target: Tensor, outputs: Any, training: bool = False) -> Tensor:
        """The loss of each record, (N,), given the outputs of `call`; with `training`, weighted for
        the current epoch, without it, as after the last epoch."""

    @property
    def first_seen(self) -> int:
        """The maximum number of training images for `initialise`."""
        return 0

    def initialise(self, images: Tensor, targets: Tensor = None) -> None:
        """Receives a few training images, (n, H, W, C) scaled, and their targets, if these differ
        from the images, before training starts."""

    @property
    def warmup_epochs(self) -> int:
        """The number of first epochs in which the loss is weighted differently."""
        return 0

    def begin_epoch(self, epoch: int) -> None:
        """Called before each epoch of training, counted from 0."""

    def compute_loss(
        self,
        x: Tensor = None,
        y: Tensor = None,
        y_pred: Any = None,
        sample_weight: Tensor = None,
        training: bool = True,
    ) -> Tensor:
        """The mean of `training_loss` over the batch, called by Keras' training step."""
        del x, sample_weight
        return _share_of_mean(self.training_loss(y, y_pred, training), training)

    def get_config(self) -> dict[str, Any]:
        return {
            "config": model_config_to_mapping(self.config),
            "image_shape": list(self.image_shape),
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ImageModel":
        del custom_objects
        values = dict(config)
        values["config"] = model_config_from_mapping(as_trained(values["config"]))
        values["image_shape"] = tuple(values["image_shape"])
        return cls(**values)


def _share_of_mean(losses: Tensor, training: bool) -> Tensor:
    """The mean of a batch's losses, (N,), or this device's share of it, if several share the batch.

    In training, the shares add up to the mean, since Keras sums gradients. In validation each is
    the mean of the device's records over the number of devices, since Keras weights by records.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return ops.mean(losses)
    records = tf.cast(tf.shape(losses)[0], losses.dtype)
    if training:
        return ops.sum(losses) / replica.all_reduce(tf.distribute.ReduceOp.SUM, records)
    return ops.sum(losses) / (replica.num_replicas_in_sync * ops.maximum(records, 1.0))
