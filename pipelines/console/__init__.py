"""What people see of a program: progress, text that does no harm, files replaced as a whole."""
