"""Tokens: the newest hours are kept and the layout is variable by variable."""

from __future__ import annotations

import pytest
import torch

from layers.tokens import from_tokens, newest_whole_tokens, to_tokens
from utils.errors import UsageError


def test_the_newest_hours_are_kept_and_the_oldest_dropped():
    """The reference drops the newest hours, those that say most about tomorrow."""
    x = torch.arange(10.0).view(1, 10, 1)
    assert newest_whole_tokens(x, 4).flatten().tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert newest_whole_tokens(x, 5).shape == x.shape


def test_a_window_shorter_than_a_token_is_refused():
    """It would give zero tokens and an empty mean: NaN."""
    with pytest.raises(UsageError, match="shorter than one token") as caught:
        newest_whole_tokens(torch.zeros(1, 3, 2), 4)
    assert "--seq_len" in caught.value.where


def test_tokens_run_through_one_variable_before_the_next():
    """Exchanging time and variable would mix variables inside a token."""
    x = torch.tensor([[[0.0, 10.0], [1.0, 11.0], [2.0, 12.0], [3.0, 13.0]]])
    tokens = to_tokens(x, 2)
    assert tokens.tolist() == [[[[0, 1], [2, 3]], [[10, 11], [12, 13]]]]
    assert torch.equal(from_tokens(tokens), x)
