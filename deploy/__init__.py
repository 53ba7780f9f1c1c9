"""What engines and clusters are set up with."""
