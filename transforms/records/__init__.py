"""The data exchanged between transforms: record batches, rejects, tallies."""
