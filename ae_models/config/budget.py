"""How long a model is trained, unless the configuration says so: with few records, for more epochs,
so that there are enough steps."""

from typing import NamedTuple

_LEAST_BATCH, _GREATEST_BATCH, _LEAST_STEPS = 16, 128, 30
_MOST_EPOCHS = 400


class Pace(NamedTuple):
    """Limits on the length of a training.

    Attributes:
      epochs, steps: the maximum is the larger of `epochs` and the epochs that make `steps`, but
        never more than 400 epochs.
      patience, patient_steps: training stops without progress after the longer of the two.
    """

    epochs: int
    steps: int
    patience: int
    patient_steps: int


OF_PIXELS = Pace(60, 1500, 8, 200)
# Most of the learning is already done by the frozen network.
OF_FEATURES = Pace(8, 240, 3, 80)


class Budget(NamedTuple):
    """The length of one training.

    Attributes:
      batch_size: in records.
      epochs: the maximum.
      patience: the number of epochs without a lower validation loss after which training stops.
    """

    batch_size: int
    epochs: int
    patience: int

    @classmethod
    def for_records(
        cls,
        records: int,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        pace: Pace = OF_PIXELS,
    ) -> "Budget":
        """Fills in what is None, by the number of training records.

        The batch size is the greatest power of two from 16 to 128 that gives at least 30 batches
        per epoch. Epochs and patience follow the pace.
        """
        batch = batch_size or _power_of_two(records // _LEAST_STEPS)
        steps = -(-records // batch)
        return cls(
            batch,
            epochs or min(_MOST_EPOCHS, max(pace.epochs, -(-pace.steps // steps))),
            patience or max(pace.patience, -(-pace.patient_steps // steps)),
        )


def _power_of_two(most: int) -> int:
    """The greatest power of two that is at most `most`, within the bounds of batch sizes."""
    bounded = min(_GREATEST_BATCH, max(_LEAST_BATCH, most))
    return int(1 << (bounded.bit_length() - 1))
