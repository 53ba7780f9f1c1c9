"""What people see of a program: progress, harmless text, files that are replaced as a whole."""
