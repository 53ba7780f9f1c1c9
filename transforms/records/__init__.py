"""What travels between transforms: record batches, rejects, tallies."""
