"""Only the end of a victim goes where that is room enough."""

from __future__ import annotations

import pytest

from radixdeck.policies.host import PolicyHost
from radixdeck.policies.tree.trimming import LEAST_TOKENS, kept_tokens


@pytest.mark.parametrize(
    ("tokens", "needed", "page_size", "kept"),
    [
        (1000, 300, 1, 700),
        (1000, 1000, 1, 0),
        (1000, 3000, 1, 0),
        (8 * LEAST_TOKENS, 1, 1, 7 * LEAST_TOKENS),
        (1000, 1, 1, 875),
        (1000, 1000 - LEAST_TOKENS, 1, LEAST_TOKENS),
        (1000, 1001 - LEAST_TOKENS, 1, 0),
        (2 * LEAST_TOKENS - 1, 1, 1, 0),
        (960, 300, 32, 640),
    ],
)
def test_what_is_needed_goes_and_no_piece_is_tiny(tokens: int, needed: int, page_size: int, kept: int):
    assert kept_tokens(tokens, needed, page_size) == kept


def test_whole_leaves_go_unless_the_policy_that_evicts_says_otherwise():
    assert PolicyHost(["kv_caching"]).says("trims_victims")
    assert not PolicyHost(["kv_caching"], {"kv_caching": {"trim_victims": 0.0}}).says("trims_victims")


@pytest.mark.parametrize(
    ("trims", "policies"),
    [
        (True, ("cachesage", "cachescout", "cachescout_sessions", "ttl_pinning", "lru_pages")),
        (False, ("lru", "lfu", "slru", "kvflow", "protect_shared")),
    ],
)
def test_what_comes_from_block_caches_gives_up_pages_and_what_comes_from_sglangs_tree_whole_leaves(
    trims: bool, policies: tuple[str, ...]
):
    assert {name: PolicyHost([name]).says("trims_victims") for name in policies} == dict.fromkeys(policies, trims)
