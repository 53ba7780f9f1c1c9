"""The short form of `python -m tests.fuzz`: some of every target's items, in watched processes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import campaign as campaigns
from tests.fuzz.campaign import campaign

ITEMS = 1200


def test_mutated_input_ends_in_records_rejects_or_a_message(
    bundle: Callable[[str], Path], tmp_path: Path
) -> None:
    found = campaign("every", ITEMS, seed=7, processes=1, bundle=bundle("ae"), keep=tmp_path)
    assert not found.failures
    assert found.tried == ITEMS
    assert 0 < found.peak < campaigns.MOST_BYTES
    assert min(found.counts["images: decoded"], found.counts["images: corrupt"]) > ITEMS // 10
    for kind in ("tfrecord", "parquet", "tar", "npz"):
        assert min(found.counts[f"{kind}: rejects"], found.counts[f"{kind}: refused"]) > 0
    assert {what for what in found.counts if what.startswith("bundles")} == {"bundles: refused"}


def test_crashes_hangs_and_memory_are_findings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a worker that does one of these for some numbers; what follows is tried all the same."""
    program = tmp_path / "worker.py"
    program.write_text(
        "import json, os, signal, sys, time\n"
        "print(json.dumps({'batch': 4}), flush=True)\n"
        "for line in sys.stdin:\n"
        "    numbers = range(json.loads(line)['start'], json.loads(line)['stop'])\n"
        "    if 5 in numbers: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if 9 in numbers: time.sleep(60)\n"
        "    if 14 in numbers: room = bytearray(b'x' * 200_000_000); time.sleep(60)\n"
        "    if 17 in numbers:\n"
        "        print(json.dumps({'error': 'ValueError'}), flush=True)\n"
        "        continue\n"
        "    answer = {'counts': {'decoded': len(numbers)}, 'slowest': 0.1, 'peak': 1}\n"
        "    print(json.dumps(answer), flush=True)\n"
    )
    start = campaigns.subprocess.Popen

    def popen(command: list[str], **options: object) -> object:
        return start([sys.executable, str(program)], **options)

    monkeypatch.setattr(campaigns.subprocess, "Popen", popen)
    monkeypatch.setattr(campaigns, "HANG_SECONDS", 1.0)
    monkeypatch.setattr(campaigns, "MOST_BYTES", 150_000_000)
    found = campaign("images", 20, processes=2)
    failures = {each["number"]: each.get("failure", each.get("error")) for each in found.failures}
    assert failures == {5: "exit status -11", 9: "hang", 14: "memory", 17: "ValueError"}
    assert found.counts == {"decoded": 16}
