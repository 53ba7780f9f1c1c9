"""The configuration of how a model is trained."""

import dataclasses
from typing import ClassVar, Literal

from ae_models.config.augmentation import AMOUNTS, parse_augmentation
from ae_models.config.budget import OF_PIXELS, Budget, Pace
from ae_models.config.steps import Step
from ae_models.config.validated import Validated, key


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Validated):
    """How Keras trains.

    Shares are of all records, exact, by the ranks of the hashes of their ids; each split has at
    least 8 records. `Budget` has the rule for `batch_size`, `epochs` and `patience` of None.

    `augment` None chooses what helps principal components to reconstruct validation records, for a
    model that starts from them. Where features are reconstructed, an augmentation is applied once,
    to make a further record.

    `calibration_share` None is a tenth of the records, or as many as flagging at `scoring.fpr`
    takes, if that is more and leaves 55% of them for the other splits: with fpr 0.01, 99
    records of 220 to 990, a tenth of any other number. With `group`, splits follow the ranks of the
    values' hashes, and a held-out split ends with the group that fills it; a record without a value
    is a group of its own.

    `optimizer` muon moves the matrices of dense layers by the orthogonal factor of their momentum
    (Jordan et al. 2024; scaled as in Liu et al. 2025), and all other weights by Adam at a tenth of
    the `learning_rate`: fewer but costlier steps, at rates about ten times those of `adam`.
    `binarise` is dynamic binarisation (Salakhutdinov and Murray 2008).
    """

    section: ClassVar[str] = "training"

    epochs: int | None = key(
        None,
        "Maximum number of epochs; early stopping may end training sooner. null: 60 for pixels and "
        "8 for features, more for few records.",
    )
    batch_size: int | None = key(
        None, "Records per batch. null: 16 to 128, chosen by the number of training records."
    )
    optimizer: Literal["adam", "muon"] = key(
        "adam",
        "Optimiser: adam, or muon, which updates the matrices of dense layers by their "
        "orthogonalised momentum.",
    )
    learning_rate: float = key(1e-3, "Learning rate; muon needs about ten times that of adam.")
    schedule: Literal["constant", "cosine"] = key(
        "constant", "Learning-rate schedule; cosine falls to 0 over training.epochs."
    )
    patience: int | None = key(
        None,
        "Number of epochs without a lower validation loss after which training stops. null: 8 for "
        "pixels and 3 for features, more for few records.",
    )
    augment: str | None = key(
        None,
        "Random changes of each training image, NAME[:AMOUNT] joined by +, such as flip+shift:0.1; "
        f"names: {', '.join(AMOUNTS)}, or none. null: chosen by an experiment on the validation "
        "records for pixels, none for features.",
    )
    validation_share: float = key(
        0.1, "Share of all records used for validation (at least 8 records)."
    )
    calibration_share: float | None = key(
        None,
        "Share of all records held out for calibration. null: a tenth, or as many as flagging at "
        "scoring.fpr takes.",
    )
    group: str | None = key(
        None,
        "Column of groups (of one part, video or batch): all records with the same value are in "
        "the same split. source groups records by file. null: no groups.",
    )
    shuffle_mebibytes: int = key(
        256, "Amount of raw pixels that are shuffled in memory at a time, in MiB."
    )
    binarise: bool = key(
        False,
        "Draw every value as 0 or 1 each time it is used in training, with its grey level as the "
        "probability.",
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = key(
        "float32",
        "Precision of the networks' layers in training, a Keras dtype policy; weights, losses and "
        "the model bundle are float32.",
    )
    devices: Literal["one", "all"] = key(
        "one", "Train on one GPU, or share every batch among all GPUs."
    )
    tiles: int = key(
        8, "Maximum number of tiles per image to train on, drawn at random (with image.tile)."
    )
    seed: int = key(0, "Random seed; the same seed on the same machine gives the same weights.")

    def validate(self) -> None:
        for field in ("epochs", "batch_size", "patience"):
            value = getattr(self, field)
            self.require(value is None or value >= 1, field, "at least 1")
        self.require(self.tiles >= 1, "tiles", "at least 1")
        self.require(self.shuffle_mebibytes >= 1, "shuffle_mebibytes", "at least 1")
        if self.augment is not None:
            self.parsed("augment", parse_augmentation)
        self.require(self.learning_rate > 0, "learning_rate", "greater than 0")
        self.require(0 < self.validation_share < 0.5, "validation_share", "between 0 and 0.5")
        share = self.calibration_share
        usable = share is None or 0 < share < 0.5
        self.require(usable, "calibration_share", "null, or between 0 and 0.5")
        self.require(self.group != "", "group", "null, or the name of a column")
        self.require(self.seed >= 0, "seed", "at least 0")

    @property
    def augmentation_steps(self) -> tuple[Step, ...]:
        """The steps of `augment`, in order; none if it is None."""
        return () if self.augment is None else self.parsed("augment", parse_augmentation)

    def budget(self, records: int) -> Budget:
        """How long to train on this number of records."""
        return Budget.for_records(records, self.batch_size, self.epochs, self.patience)

    def for_records(self, records: int, pace: Pace = OF_PIXELS) -> "TrainingConfig":
        """The same with the budget for this number of training records filled in."""
        budget = Budget.for_records(records, self.batch_size, self.epochs, self.patience, pace=pace)
        return dataclasses.replace(self, **budget._asdict())
