"""A relay between a client that lists and then gets, and a server, so that there is something to foresee."""

from __future__ import annotations

from typing import Any

from mcp_types import JSONRPCRequest
from relay_sides import Sides

RULES = """
serial = {serial}
[tools.list]
read_only = true
ttl_s = 10
invalidated_by = ["put"]
[tools.get]
read_only = true
ttl_s = 10
speculate = true
invalidated_by = ["put"]
"""


class Ahead(Sides):
    """A client that lists and then gets what is first in the list."""

    def __init__(self, *, serial: bool = True, trials: int = 0) -> None:
        super().__init__(trials, RULES.format(serial=str(serial).lower()))
        self.lists = 0

    async def lists_up(self, agent: str = "") -> None:
        """A list, which the tool takes a second for."""
        self.lists += 1
        asked = await self.call("list", agent, arguments={"of": self.lists})
        self.now_s += 1
        await self.says(asked, f"key {self.lists}\nkey -{self.lists}")

    async def gets(self, key: str = "", agent: str = "") -> int:
        return await self.call("get", agent, arguments={"key": key or f"key {self.lists}"})

    async def learns(self, times: int = 6) -> Any:
        """Returns the id of the first call that is made early."""
        for _ in range(times):
            await self.lists_up()
            if self.early():
                await self.says(self.early()[-1], "value")
            got = await self.gets()
            self.now_s += 1
            if got in self.asked():
                await self.says(got, "value")
        before = len(self.early())
        await self.lists_up()
        assert len(self.early()) == before + 1
        return self.early()[-1]

    def asked(self) -> list[Any]:
        return [message.id for message in self.up if isinstance(message, JSONRPCRequest)]

    def early(self) -> list[Any]:
        return [one for one in self.asked() if isinstance(one, str)]

    def last(self) -> list[str]:
        """What was told of early calls lately."""
        return [what for what in self.did() if what.startswith("early") or what == "joined"][-2:]
