"""The examples in the pages of docs/, as they stand there."""

import re

from tests.support.project import PROJECT

DOCS = PROJECT / "docs"


def code_blocks(page: str, language: str, section: str | None = None) -> list[str]:
    """The blocks of a language, of a whole page or of the section with a heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    if section is not None:
        (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
