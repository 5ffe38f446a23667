"""Who sees whom: the fast patterns equal the sentences they come from, token by token."""

from __future__ import annotations

import pytest
import torch

from layers.masks import attention_layout, layout_from_visible
from tests.eager_timer_xl import visible_pairs, visible_pairs_fast
from utils.errors import UsageError

CPU = torch.device("cpu")


@pytest.mark.parametrize("covariate", [False, True])
@pytest.mark.parametrize(("n_variates", "n_tokens"), [(1, 1), (1, 4), (3, 1), (3, 4)])
def test_the_pattern_is_the_one_of_the_sentences(n_variates, n_tokens, covariate):
    """A transposed or shifted mask leaks the future and still looks plausible."""
    layout = attention_layout(n_variates, n_tokens, covariate, CPU)
    expected = visible_pairs(n_variates, n_tokens, covariate)
    assert torch.equal(~layout.hidden, expected)
    assert torch.equal(visible_pairs_fast(n_variates, n_tokens, covariate), expected)


def test_the_covariate_pattern_by_hand():
    """Two variables of two tokens: the covariate sees itself, the target sees all of the covariate."""
    visible = ~attention_layout(2, 2, True, CPU).hidden
    assert visible.int().tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_same_variate_marks_the_diagonal_blocks():
    """The learned bias hangs on this: its two rows must not be exchanged."""
    same = attention_layout(2, 2, False, CPU).same_variate
    assert same.int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_a_token_that_sees_nothing_is_refused_by_name():
    """Fused attention gives zero there and the plain one NaN: both silently."""
    visible = torch.eye(4, dtype=torch.bool)
    visible[2] = False
    with pytest.raises(UsageError) as caught:
        layout_from_visible(visible, 2, CPU)
    assert caught.value.code == "ATTENTION_MASK_EMPTY"
    assert "[2]" in caught.value.where


def test_the_layout_is_built_once_and_has_no_batch_axis():
    """Rebuilding it in every layer of every step cost up to forty per cent of small models."""
    first = attention_layout(3, 4, False, CPU)
    assert attention_layout(3, 4, False, CPU) is first
    assert first.hidden.shape == (12, 12)


def test_a_layout_first_built_in_inference_mode_can_be_trained_with():
    """The cache outlives inference mode; a tensor born there would break the next training step."""
    with torch.inference_mode():
        layout = attention_layout(5, 3, False, CPU)
    assert not layout.hidden.is_inference()
    assert not layout.same_variate.is_inference()
