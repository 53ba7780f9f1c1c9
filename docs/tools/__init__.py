"""Tools of the documentation: its generated pages, and how its site is built."""
