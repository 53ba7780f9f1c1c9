"""What scores mean: p-values, their tail, flags over a whole run, drift."""
