"""Speed and memory beside what a good user would write, in turn, in fresh processes."""
