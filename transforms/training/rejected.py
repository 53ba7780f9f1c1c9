"""Messages about the records that training cannot use."""

import collections
import re
from collections.abc import Iterator, Sequence

from transforms.records.rejects import Reason
from transforms.runs.ledger import REJECTS
from transforms.runs.shards import Shard, open_shard, rejected_by_reason

_KINDS = {"1": "grey", "2": "grey with alpha", "3": "colour", "4": "colour with alpha"}
_CHANNELS = re.compile(r"(\d+) channels, not (\d+)")


def rejected_advice(shards: Sequence[Shard]) -> str | None:
    """One line with the number of rejects by reason and, for images of several kinds, how to
    convert them to one kind; None if there are no rejects.

    Args:
      shards: the shards written by `DecodeToShards`.

    Raises:
      InputError: the rejects cannot be read back.
    """
    reasons = rejected_by_reason(shards)
    if not reasons:
        return None
    rejected, read = sum(reasons.values()), sum(shard.rows for shard in shards)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    line = f"{rejected:,} of {read:,} records were rejected: {counts}"
    if Reason.WRONG_CHANNELS not in reasons:
        return line
    return f"{line}; {_channels_advice(shards, read - rejected)}"


def _channels_advice(shards: Sequence[Shard], used: int) -> str:
    found = collections.Counter(_wrong_channels(shards))
    counts = ", ".join(f"{count:,} {_kind(rejected)}" for (rejected, _), count in found.items())
    wanted = ", ".join({_kind(taken) for _, taken in found})
    return (
        f"{used:,} {wanted} images are used, {counts} are not: to use them all, give --set "
        "image.convert=true, and --set image.channels=1 for grey or 3 for colour"
    )


def _kind(channels: str) -> str:
    return _KINDS.get(channels, f"{channels}-channel")


def _wrong_channels(shards: Sequence[Shard]) -> Iterator[tuple[str, str]]:
    """Yields, for each record rejected for its channels, the number of channels it has and the
    number required."""
    for shard in shards:
        if shard.kind != REJECTS or Reason.WRONG_CHANNELS not in shard.reasons:
            continue
        with open_shard(shard.path) as parquet:
            for batch in parquet.iter_batches(columns=["reason", "message"]):
                rejects = zip(*(column.to_pylist() for column in batch.columns), strict=True)
                texts = (text for reason, text in rejects if reason == Reason.WRONG_CHANNELS)
                yield from (
                    (m[1], m[2]) for text in texts if text and (m := _CHANNELS.fullmatch(text))
                )
