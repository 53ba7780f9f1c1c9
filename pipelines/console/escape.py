"""Text for a terminal, which interprets some characters as commands."""


def shown(text: str) -> str:
    """`text` with every unprintable character except spaces as Python escapes it: `\\x1b`.

    Names of files and columns, ids and the text of a bundle may contain anything: escape sequences
    that rewrite the screen, line breaks that split one message into two, marks that reverse the
    direction of writing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
