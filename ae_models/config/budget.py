"""How long a model is trained, where that is left open: few records are trained on for as many
steps as it takes."""

from typing import NamedTuple

_LEAST_BATCH, _GREATEST_BATCH, _LEAST_STEPS = 16, 128, 30
_EPOCHS, _MOST_EPOCHS, _STEPS = 60, 400, 1500
_PATIENCE, _PATIENT_STEPS = 8, 200


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
    ) -> "Budget":
        """What is None follows the number of training records.

        The batch is the greatest power of two from 16 to 128 of which 30 make an epoch. Epochs are
        60, or as many as make 1,500 steps where that is more, but at most 400; patience is 8
        epochs, or as many as make 200 steps where that is more.
        """
        batch = batch_size or _power_of_two(records // _LEAST_STEPS)
        steps = -(-records // batch)
        return cls(
            batch,
            epochs or min(_MOST_EPOCHS, max(_EPOCHS, -(-_STEPS // steps))),
            patience or max(_PATIENCE, -(-_PATIENT_STEPS // steps)),
        )


def _power_of_two(most: int) -> int:
    """The greatest one that is at most `most`, as far as batches go."""
    bounded = min(_GREATEST_BATCH, max(_LEAST_BATCH, most))
    return int(1 << (bounded.bit_length() - 1))
