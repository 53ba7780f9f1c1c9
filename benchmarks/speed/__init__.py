"""Speed and memory compared with what a good user would write, alternating in fresh processes."""
