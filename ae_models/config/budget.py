"""How long a model is trained, where that is left open: few records are trained on for as many
steps as it takes."""

from typing import NamedTuple

_LEAST_BATCH, _GREATEST_BATCH, _LEAST_STEPS = 16, 128, 30
_MOST_EPOCHS = 400


class Pace(NamedTuple):
    """How long a model is trained: for so many epochs, or as many as make so many steps where that
    is more; so long it may go without getting better.

    Attributes:
      epochs, steps: at most, but 400 epochs whatever they are.
      patience, patient_steps: of waiting.
    """

    epochs: int
    steps: int
    patience: int
    patient_steps: int


OF_PIXELS = Pace(60, 1500, 8, 200)
# A frozen network has learned most of what there is to learn.
OF_FEATURES = Pace(8, 240, 3, 80)


class Budget(NamedTuple):
    """Of one training.

    Attributes:
      batch_size: in records.
      epochs: the most there will be.
      patience: how many of them the validation loss may go without falling.
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
        """What is None follows the number of training records.

        The batch is the greatest power of two from 16 to 128 of which 30 make an epoch. Epochs and
        patience are those of the pace.
        """
        batch = batch_size or _power_of_two(records // _LEAST_STEPS)
        steps = -(-records // batch)
        return cls(
            batch,
            epochs or min(_MOST_EPOCHS, max(pace.epochs, -(-pace.steps // steps))),
            patience or max(pace.patience, -(-pace.patient_steps // steps)),
        )


def _power_of_two(most: int) -> int:
    """The greatest one that is at most `most`, as far as batches go."""
    bounded = min(_GREATEST_BATCH, max(_LEAST_BATCH, most))
    return int(1 << (bounded.bit_length() - 1))
