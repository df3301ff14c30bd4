"""A recording whose prompts do not fit in memory is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from storage_samples import recorded

from radixdeck.policies import events as ev
from radixdeck.storage import room
from radixdeck.storage.errors import WhatIfError
from radixdeck.storage.session import open_session
from radixdeck.storage.whatif import Recorded

TOKENS = 1_000_000
NEEDED = 4 * TOKENS * 3


async def test_what_ifs_take_4_bytes_for_each_token_of_every_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = np.arange(TOKENS, dtype="<u4").tobytes()
    await recorded(tmp_path / "run.db", [
        event for n in range(3) for event in (
            ev.PrefixMatched(
                t_ns=n, rid=f"r{n}", agent="a", session="s", prompt_tokens=TOKENS, cached_tokens=0,
                base_rid="r0" if n else "", base_tokens=TOKENS if n else 0, tail=b"" if n else tail,
            ),
            ev.PrefixInserted(t_ns=n, rid=f"r{n}", phase="finish", total_tokens=TOKENS, new_tokens=0),
        )
    ])  # fmt: skip
    with open_session(tmp_path / "run.db") as session:
        assert sum(request.hashes.nbytes for request in session.requests()) == session.prompts_bytes() == NEEDED
        monkeypatch.setattr(room, "free_bytes", lambda: NEEDED)
        assert len(Recorded(session).requests) == 3
        monkeypatch.setattr(room, "free_bytes", lambda: NEEDED - 1)
        with pytest.raises(WhatIfError, match=r"its prompts take 0\.0 GB of memory to be run again, and 0\.0 GB are"):
            Recorded(session)
