"""The programs behind the command `latentbeam`, one a file."""
