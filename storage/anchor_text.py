"""The text of anchors in a recording, only where a daemon was told to keep it: in a table of its own that no event
carries, so that it never reaches the broker, and that other recordings do not have."""

from __future__ import annotations

import msgspec

CREATE = """CREATE TABLE anchor_texts (agent TEXT NOT NULL, fingerprint TEXT NOT NULL, at_ns INTEGER NOT NULL,
    tokens INTEGER NOT NULL, text TEXT NOT NULL, PRIMARY KEY (agent, fingerprint)) STRICT"""
INSERT = "INSERT OR REPLACE INTO anchor_texts (agent, fingerprint, at_ns, tokens, text) VALUES (?, ?, ?, ?, ?)"
SELECT = "SELECT * FROM anchor_texts WHERE agent = ? ORDER BY at_ns DESC, rowid DESC"
SELECT_ALL = "SELECT * FROM anchor_texts ORDER BY rowid"
MOST_CHARACTERS = 1 << 20
"""Of one text; what is longer is cut, and says so."""


class AnchorText(msgspec.Struct, frozen=True):
    """One version of an agent's system messages and tools. `tokens`: of the anchor, as measured."""

    agent: str
    fingerprint: str
    at_ns: int
    tokens: int
    text: str

    def cut(self) -> AnchorText:
        """No more of it than is kept."""
        if len(self.text) <= MOST_CHARACTERS:
            return self
        text = f"{self.text[:MOST_CHARACTERS]}\n[cut: {len(self.text):,} characters]"
        return msgspec.structs.replace(self, text=text)

    @property
    def row(self) -> tuple[str, str, int, int, str]:
        """As it is stored. Half of a pair of surrogates, which JSON can carry, cannot be."""
        text = self.text.encode("utf-8", "replace").decode()
        return self.agent, self.fingerprint, self.at_ns, self.tokens, text
