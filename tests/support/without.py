"""The command in a process that cannot find some packages, as if no extra had installed them."""

import json
import subprocess
import sys
from collections.abc import Collection, Sequence
from typing import NamedTuple

from ae_models.config.extras import EXTRA_OF

# Besides those that are checked for, those that they need and nothing else does.
OF_EXTRAS = frozenset({*EXTRA_OF, "llvmlite", "numba", "pynndescent", "tornado", "xyzservices"})
_PROGRAM = """
import json, sys
from importlib.machinery import PathFinder

hidden, commands = map(json.loads, sys.argv[1:])

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
from pipelines.cli import main

for arguments in commands:
    try:
        main(arguments)
    except SystemExit as exit:
        print(f"exit status {exit.code or 0}", file=sys.stderr, flush=True)
assert not {*hidden} & {*sys.modules}
"""


class Done(NamedTuple):
    """The exit status of a command, and what it wrote to stderr."""

    status: int
    stderr: str


def run_without(hidden: Collection[str], *commands: Sequence[str]) -> list[Done]:
    """Commands, one after the other in one process, that finds none of the hidden packages."""
    arguments = [json.dumps(sorted(hidden)), json.dumps(commands)]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *parts, rest = done.stderr.split("exit status ")
    told = [parts[0], *(part.partition("\n")[2] for part in parts[1:])]
    statuses = [int(part.partition("\n")[0]) for part in (*parts[1:], rest)]
    return [Done(*pair) for pair in zip(statuses, told, strict=True)]
