"""How stages run: in the background, timed, with bad records isolated from their batches."""
