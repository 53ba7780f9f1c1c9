"""How a stage works: in the background, timed, a bad record kept from its batch."""
