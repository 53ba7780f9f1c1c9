"""The meaning of scores: p-values, their tail, flags over an entire run, drift."""
