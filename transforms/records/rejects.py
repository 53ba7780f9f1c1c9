"""Why a record was not scored: the fixed list of reason codes, and the rows that contain them."""

import enum

import pyarrow as pa

from transforms.records.batches import ID, REJECT, SOURCE, image_records

REJECTS_SCHEMA = pa.schema(
    [
        pa.field(ID, pa.string(), nullable=False),
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("message", pa.string()),
    ]
)
_LONGEST_MESSAGE = 500
# Prefixes of the lines that TensorFlow writes above the line that states what happened.
_HEADINGS = ("Graph execution error:", "Detected at node", "<stack traces unavailable>", 'File "')


class Stage(enum.StrEnum):
    """Where a record failed."""

    READ = "read"
    DECODE = "decode"
    SCORE = "score"


class Reason(enum.StrEnum):
    """The code of a reject. Other programs match on these: add, never rename."""

    UNREADABLE = "unreadable"  # the file or its record cannot be read
    EMPTY = "empty"  # zero bytes
    NO_IMAGE = "no_image"  # the record, or its entire file, has no image
    NO_ID = "no_id"  # the column given with --id_column is null
    SCHEMA_MISMATCH = "schema_mismatch"  # a column's type differs from the rest of the run
    NOT_AN_IMAGE = "not_an_image"  # not in a recognised image format
    CORRUPT = "corrupt"  # an image format, but truncated or damaged
    DECODE_FAILED = "decode_failed"  # unexpected error of the decoder, for this record only
    TOO_LARGE = "too_large"  # more pixels than image.max_pixels, or more bytes than the limit
    WRONG_CHANNELS = "wrong_channels"
    WRONG_BITS = "wrong_bits"
    WRONG_SHAPE = "wrong_shape"  # raw pixels whose number does not match their shape
    NO_MODEL = "no_model"  # there is no bundle for the record's category
    NOT_FINITE = "not_finite"  # the model returned a score that is not finite
    SCORE_FAILED = "score_failed"  # the model raised an error for this record only
    OUT_OF_MEMORY = "out_of_memory"  # there was not enough memory for this record only


class RecordError(Exception):
    """One record, or one file, cannot be read or decoded."""

    def __init__(self, reason: Reason, message: str):
        super().__init__(message)
        self.reason = reason

    def at(self, stage: Stage) -> dict[str, str]:
        """The value of the `reject` column."""
        return reject(stage, self.reason, str(self))


def told(error: BaseException) -> str:
    """An error in one line: its type and the first informative line of its message."""
    lines = (line.strip() for line in str(error).splitlines())
    line = next((line for line in lines if line and not line.startswith(_HEADINGS)), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def reject(stage: Stage, reason: Reason, message: str) -> dict[str, str]:
    """The value of the `reject` column: one line, of bounded length."""
    line = " ".join(message.split())[:_LONGEST_MESSAGE]
    return {"stage": str(stage), "reason": str(reason), "message": line}


def rejected_records(ids: list[str], source: str, reason: Reason, message: str) -> pa.RecordBatch:
    """Image records that could not be read."""
    value = reject(Stage.READ, reason, message)
    return image_records(ids, source, [None] * len(ids), rejects=[value] * len(ids))


def reject_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rejected rows of a batch, in the schema of `rejects/*.parquet`."""
    rejected = batch.filter(batch.column(REJECT).is_valid())
    stage, reason, message = rejected.column(REJECT).flatten()
    return pa.RecordBatch.from_arrays(
        [rejected.column(ID), rejected.column(SOURCE), stage, reason, message],
        schema=REJECTS_SCHEMA,
    )


def good_rows(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The rows that were not rejected, without the `reject` column."""
    if batch.column(REJECT).null_count < len(batch):
        batch = batch.filter(batch.column(REJECT).is_null())
    return batch.drop_columns([REJECT])
