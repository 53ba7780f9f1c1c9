"""Text for a terminal, which takes some characters for orders."""


def shown(text: str) -> str:
    """`text` with every character that does not print, a space apart, as Python writes it: `\\x1b`.

    Names of files and columns, ids and the text of a bundle may hold anything: escape sequences
    that rewrite the screen, ends of lines that make one message into two, marks that turn the
    direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
