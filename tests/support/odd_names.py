"""Names that a file may have, drawn from all of its bytes, and others that a careless program would
take for them."""

import fnmatch
import glob
import os
import random
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

_MEANT = "*?[]!\\^-{}~$%&'\"`;|<>#:=,.() \n\t\r\x1b\x7f0aAé\u202e\U0001f41f"  # something to someone
_LONGEST = 200  # bytes, as ours write `.part-...` beside

# Each was, or could be, the undoing of a program.
NASTY = (
    *("run[1]", "b [2]", "run*", "r?n", "[!a]", "[]", "a]b[", "run\\[1]", "\\*", "a\\", "**", "*"),
    *("-x", "--overwrite", "~", "~root", "$HOME", "%s", "{}", " a ", "a\nb", "\n", "\t", "a\rb"),
    *("\x1b[31mred", "a'b\"c", "a;b", "a#b", "a=b", "a,b", "gs:", "file:", "C:", "..."),
    *("a.gz", "a.bz2", "scores.parquet", "é", "e\u0301", "\udce9", "\udcff\udcfe[1]", "\u202eabc"),
)


def drawn(count: int, seed: int) -> Iterator[str]:
    """Names of any bytes but `/` and NUL, those that are no UTF-8 as Python has them."""
    generator = random.Random(seed)
    given = 0
    while given < count:
        length = generator.choice([1, 2, 3, 5, 8, 13, 40])
        if generator.random() < 0.5:
            name = "".join(generator.choices(_MEANT, k=length)).encode()
        else:
            every = [byte for byte in range(1, 256) if byte != ord("/")]
            name = bytes(generator.choices(every, k=length))
        if name not in (b".", b".."):
            given += 1
            yield os.fsdecode(name)


def neighbours(name: str) -> list[str]:
    """Names that `name` would match as a pattern, patterns that would match it, and names that are
    the same but for what someone might strip, quote, decode or fold."""
    sets = re.compile(r"\[!?\]?[^]]*\]")
    members = [chosen for found in sets.findall(name) for chosen in found[1:-1]]
    expanded = [
        sets.sub(lambda _, member=member: member, re.sub(r"\*+", star, name).replace("?", mark))
        for member in {"x", "1", *members[:4]}
        for star in ("", "x", "long")
        for mark in ("x",)
    ]
    found = [
        *expanded,
        *(name.replace("\\", with_) for with_ in ("", "\\\\", "_")),
        *(glob.escape(name), re.escape(name), f"\\{name}", f"{name}\\", name.replace("[", "\\[")),
        *("*", "?" * len(name), f"{name}*", f"*{name}", f"{name[:-1]}?", f"?{name[1:]}"),
        *(f"[{name[:1]}]{name[1:]}", f"{name[:1]}*", f"[!{name[:1]}]{name[1:]}"),
        *(
            name[:-1],
            name[1:],
            name[:1],
            f"{name}x",
            f"{name} ",
            f"{name}~",
            f".{name}",
            f"{name}.",
        ),
        *(name.strip(), name.lstrip("-"), name.lower(), name.upper(), name.replace("\n", "")),
        *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")),
        os.fsencode(name).decode("utf-8", "backslashreplace"),
        os.fsencode(name).decode("utf-8", "replace"),
        os.fsencode(name).decode("utf-8", "ignore"),
        os.fsencode(name).decode("latin-1"),
    ]
    return [other for other in dict.fromkeys(found) if other != name and _is_name(other)]


def matches_any(name: str, others: list[str]) -> bool:
    """Whether a matcher of patterns would take one for the other: a test of the neighbours."""
    return any(fnmatch.fnmatchcase(a, b) for o in others for a, b in ((name, o), (o, name)))


def _is_name(name: str) -> bool:
    return (
        name not in ("", ".", "..")
        and not {"/", "\0"} & set(name)
        and len(os.fsencode(name)) <= _LONGEST
    )


def settle(folder: Path, names: list[str]) -> None:
    """Makes results of others: each name a folder of a run, finished and going on, and a file."""
    for name in names:
        for part in ("", "scores", ".staging-1"):
            os.mkdir(os.path.join(folder, name, part))
        for path in ("_SUCCESS", "scores/part-00000-of-00001.parquet", ".staging-1/a"):
            _write(os.path.join(folder, name, path), f"{name} {path}")
        _write(os.path.join(folder, f"{name}.html"), name)


def contents(folder: Path, but: tuple[str, ...] = ()) -> dict[str, bytes | None]:
    """Every path below a folder, but for what lies under some names of it, with its bytes; None of
    a folder."""
    found: dict[str, bytes | None] = {}
    for parent, folders, files in os.walk(folder):
        below = parent[len(str(folder)) + 1 :]
        if not below:
            folders[:] = [name for name in folders if name not in but]
        found.update((os.path.join(below, name), None) for name in folders)
        for name in files:
            if not below and name in but:
                continue
            with open(os.path.join(parent, name), "rb", buffering=0) as file:
                found[os.path.join(below, name)] = file.read()
    return found


def _write(path: str, text: str) -> None:
    with open(path, "xb", buffering=0) as file:
        file.write(os.fsencode(text))
