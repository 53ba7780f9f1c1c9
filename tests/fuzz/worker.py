"""Tries the items that it is asked for on stdin, a range a line; answers on stdout.

Whatever it prints otherwise, native code included, goes to stderr.
"""

import json
import os
import re
import sys
import tempfile
import traceback
import warnings
from pathlib import Path


def main() -> None:
    name, seed, bundle = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")  # Pillow warns of what it passes over
    from tests.fuzz.targets import counted, targets  # noqa: PLC0415 - stdout is out of the way now

    with tempfile.TemporaryDirectory() as folder:
        target = targets(Path(folder), bundle)[name](seed)
        print(json.dumps({"batch": target.batch}), file=answers)
        for line in sys.stdin:
            request = json.loads(line)
            numbers = range(request["start"], request["stop"])
            if keep := request.get("keep"):
                target.keep(numbers[0], Path(keep))
                print("{}", file=answers)
                continue
            answer = {}
            try:
                outcomes = target.tried(numbers)
                answer = {"counts": counted(outcomes), "slowest": max(o.seconds for o in outcomes)}
            except BaseException as error:  # a finding, whatever it is
                answer = {"error": "".join(traceback.format_exception(error)[-3:])}
            answer["peak"] = _peak()
            print(json.dumps(answer), file=answers)


def _peak() -> int:
    """The most memory that this process held, in bytes; `ru_maxrss` begins with its parent's."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) << 10 if found else 0


if __name__ == "__main__":
    main()
