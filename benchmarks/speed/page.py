"""The table of the suite."""

from collections.abc import Sequence

from benchmarks.page import markdown, when_and_where
from benchmarks.speed.outcome import Outcome

_NAMES = ["measure", "median", "min, max", "target", "reached", "latentbeam", "baseline"]


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: when and where, and one line per measure."""
    rounds = max(len(outcome.values) for outcome in outcomes)
    return f"{when_and_where()}; {rounds} rounds.\n\n" + markdown(_NAMES, map(_cells, outcomes))


def _cells(outcome: Outcome) -> list[str]:
    sign = "≤" if outcome.at_most else "≥"
    return [
        outcome.name,
        f"**{outcome.figure:.2f}** {outcome.unit}",
        f"{min(outcome.values):.2f}, {max(outcome.values):.2f}",
        f"{sign} {outcome.asked:g} {outcome.unit}",
        "yes" if outcome.reached else "**no**",
        outcome.ours or " ",
        outcome.beside or " ",
    ]
