"""Results: aligned on a terminal, and elsewhere as they have always been."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.cli.tables import Fact, Table, rendered
from tests.support.command import run_command

_ITEMS = [
    Fact("run", "run/"),
    Fact("records", "9 read"),
    Table(
        [
            ["score", "AUROC", "flagged", "best"],
            ["a *", "0.5 (0.1 to 0.9)", "10.00%", "0.9 a"],
            ["longer", "not known", "7.00%", ""],
        ]
    ),
    "a line: of its own",
]


def test_plain_lines_are_names_and_columns() -> None:
    assert rendered(_ITEMS, aligned=False) == [
        "run: run/",
        "records: 9 read",
        "score   AUROC             flagged  best",
        "a *     0.5 (0.1 to 0.9)  10.00%   0.9 a",
        "longer  not known         7.00%",
        "a line: of its own",
    ]


def test_a_terminal_gets_columns_with_numbers_flush_right() -> None:
    assert rendered(_ITEMS, aligned=True) == [
        "run      run/",
        "records  9 read",
        "",
        "score              AUROC  flagged  best",
        "----------------------------------------",
        "a *     0.5 (0.1 to 0.9)   10.00%  0.9 a",
        "longer         not known    7.00%",
        "",
        "a line: of its own",
    ]


@pytest.mark.parametrize("aligned", [True, False])
def test_what_there_is_not_takes_no_room(aligned: bool) -> None:
    assert rendered([], aligned) == []
    assert rendered(["", "a", "", ""], aligned=True) == ["a"]
    heading = Table([["score", "AUROC"]])
    assert rendered([heading], aligned)[0] == "score  AUROC"


@pytest.mark.parametrize("aligned", [True, False])
def test_names_with_control_characters_stay_in_their_cells(aligned: bool) -> None:
    lines = rendered([Table([["kind", "n"], ["a\nb", "1"], ["\x1b[2J", "2"]])], aligned)
    assert len(lines) == (4 if aligned else 3)
    assert all(line.isprintable() for line in lines)
    assert (
        len({line.rstrip().rfind(number) for line, number in zip(lines[-2:], "12", strict=True)})
        == 1
    )


def test_evaluate_on_a_terminal_and_elsewhere(
    digits_run: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = ["evaluate", "--scores", str(digits_run("ae")), "--anomalous", "label=0"]
    status, plain, _ = run_command(line, capsys)
    assert status == 0
    assert re.match(r"records: 1797, 178 anomalous\nscore +AUROC +average precision +flag", plain)
    assert "\n\n" not in plain
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    status, aligned, _ = run_command(line, capsys)
    assert status == 0
    assert aligned.startswith("records  1797, 178 anomalous\n\nscore")
    assert re.search(r"\n-{60,}\n", aligned)
    assert "\x1b" not in plain + aligned
    rows = [re.split(r"  +", row) for row in plain.splitlines() if " to " in row]
    assert rows == [re.split(r"  +", row) for row in aligned.splitlines() if " to " in row]
