"""What the ladder says follows from the figures, and never goes beyond the spread of the seeds."""

from __future__ import annotations

import pytest

from exp import ladder
from exp.option_scores import Outcome
from exp.options import OPTIONS

LEARNED = ((0.30, 0.31, 0.32), (0.88, 0.89, 0.90))
BETTER = ((0.35, 0.36, 0.37), (0.91, 0.92, 0.93))
SAME = ((0.29, 0.33, 0.31), (0.87, 0.90, 0.89))
WORSE = ((0.20, 0.21, 0.22), (0.80, 0.81, 0.82))
UNSKILLED = ((-0.1, 0.1, 0.0), (0.55, 0.6, 0.5))
DIAGNOSE = "--task_name diagnose"


def played(
    letter: str,
    scores: tuple[tuple[float, ...], tuple[float, ...]],
    *,
    collapsed: tuple[bool, ...] | None = None,
    failed: dict[int, str] | None = None,
    flags: dict[str, object] | None = None,
) -> Outcome:
    """An outcome with these Brier skills and ROC AUCs, one for each seed."""
    return Outcome(
        option=OPTIONS[letter],
        scores={ladder.SKILL: scores[0], ladder.RANKING: scores[1]},
        collapsed=collapsed or (False,) * len(scores[0]),
        failed=failed,
        flags=flags or {"learning_rate": {"A": 1e-4, "B": 1e-3, "C": 1e-6}[letter]},
    )


def collapsed(letter: str) -> Outcome:
    return played(letter, ((-0.02, -0.02, -0.02), (0.5, 0.5, 0.5)), collapsed=(True, True, True))


def said(*outcomes: Outcome) -> str:
    return " ".join(ladder.conclude(outcomes))


def test_a_small_model_that_learns_acquits_the_data_and_says_nothing_of_the_others() -> None:
    """The notes call the problem solved here; it is solved for this option alone."""
    text = said(played("B", LEARNED))
    assert "beats climatology in every seed" in text and "Of A and C it says nothing" in text and DIAGNOSE not in text


def test_a_small_model_that_collapses_does_not_convict_the_data_alone() -> None:
    """The notes say it is the data; with one option it may as well be its rate."""
    text = said(collapsed("B"))
    assert "says the same every time" in text and "cannot tell the data from its own rate" in text and DIAGNOSE in text


def test_small_learns_and_full_collapses_means_size_or_rate_not_data() -> None:
    """Cleaning the data once more would cost days and mend nothing."""
    text = said(played("B", LEARNED), collapsed("A"))
    assert (
        "the data are not it" in text and "the size or the rate" in text and "learning_rate 0.0001 (not 0.001)" in text
    )
    assert DIAGNOSE not in text


def test_both_from_scratch_collapse_means_look_at_the_data() -> None:
    """What two sizes and two rates share is the data."""
    assert DIAGNOSE in said(collapsed("B"), collapsed("A"))
    dead = Outcome(option=OPTIONS["A"], scores={ladder.SKILL: (), ladder.RANKING: ()}, failed={0: "SKIP_BUDGET"})
    text = said(collapsed("B"), dead)
    assert DIAGNOSE in text and "ended with SKIP_BUDGET" in text


def test_full_learns_where_small_collapsed_acquits_the_data() -> None:
    """The other order of the same inference."""
    text = said(collapsed("B"), played("A", LEARNED))
    assert "the data are not what broke B" in text and DIAGNOSE not in text


def test_all_three_collapse_means_the_data() -> None:
    """The case: it was the data, and the checkpoint was blamed."""
    text = said(collapsed("B"), collapsed("A"), collapsed("C"))
    assert "All three break" in text and DIAGNOSE in text and "pre-training" not in text


def test_a_collapsed_transfer_after_scratch_that_learned_blames_neither_data_nor_weights_alone() -> None:
    """The notes would throw the checkpoint away; the control tells whether it is to blame."""
    text = said(played("B", LEARNED), played("A", LEARNED), collapsed("C"))
    assert "the data are not it" in text and "--adaptation no" in text and "learning_rate 1e-06" in text


@pytest.mark.parametrize(("scores", "words"), [(SAME, "No better than from scratch"), (WORSE, "Worse than A beyond")])
def test_a_transfer_no_better_than_scratch_says_that_pre_training_did_not_help_here(
    scores: tuple[tuple[float, ...], tuple[float, ...]], words: str
) -> None:
    """A gain within the spread of the seeds is none."""
    text = said(played("B", LEARNED), played("A", LEARNED), played("C", scores))
    assert words in text and "did not help here" in text


def test_a_better_transfer_is_not_yet_a_gain_of_pre_training() -> None:
    """Its rate and its norm differ too; only the control has nothing but the weights to differ in."""
    text = said(played("B", LEARNED), played("A", LEARNED), played("C", BETTER))
    assert "Better than from scratch" in text and "the gain of pre-training" in text and "--adaptation no" in text
    assert "did not help" not in text


def test_where_nothing_was_learned_no_order_is_claimed() -> None:
    """Of two that know less than the calendar neither is the better start."""
    text = said(played("B", LEARNED), played("A", UNSKILLED), played("C", UNSKILLED))
    assert "Neither C nor A" in text and "did not help" not in text and "Better" not in text


@pytest.mark.parametrize("n", [1, 2])
def test_few_seeds_allow_no_order(n: int) -> None:
    """Two seeds against two stand apart by chance in one of three cases."""
    few = [tuple(values[:n] for values in scores) for scores in (LEARNED, BETTER)]
    outcomes = played("A", few[0]), played("C", few[1])  # type: ignore[arg-type]
    assert ladder.difference(*outcomes) == "unknown"
    text = said(played("B", few[0]), *outcomes)  # type: ignore[arg-type]
    assert "cannot be said" in text and "--itr 3" in text and "help" not in text


def test_options_that_overlap_in_one_score_do_not_differ() -> None:
    """Whoever picks the score that happens to part them finds a winner every time."""
    mixed = played("C", (BETTER[0], SAME[1]))
    assert ladder.difference(mixed, played("A", LEARNED)) == "within the spread"
    assert ladder.difference(played("C", BETTER), played("A", LEARNED)) == "better"
    assert ladder.difference(played("C", WORSE), played("A", LEARNED)) == "worse"


def test_seeds_that_part_ways_are_told_as_such() -> None:
    """One collapsed seed of three is neither a result nor a collapse."""
    some = played("B", LEARNED, collapsed=(False, True, False))
    assert ladder.state(some) == "is divided" and "in 1 of its seeds" in said(some)
    assert "data alone do not explain it" in said(some)


def test_every_conclusion_names_its_limits() -> None:
    """One test period, or synthetic data: either way the sentence is not about Peru for ever."""
    assert "one test period" in said(played("B", LEARNED))
    made_up = Outcome(**(vars(played("B", LEARNED)) | {"synthetic": True}))
    assert "SYNTHETIC" in said(made_up) and "one test period" not in said(made_up)
