"""The second engines that are known: which of them answer and serve what the first one serves. Looked at from the start
until they do, and every few seconds while some policy would use them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import aiohttp
import msgspec

from radixdeck.policies.events import ReplicaChecked

from .front_access import bearer
from .replica_urls import Replica, read_replicas

LOOK_PERIOD_S = 2.0
_TIMEOUT = aiohttp.ClientTimeout(total=5)
ONLY_ONE = "only one engine is known, so no request is sent twice: [engine] replicas names others"
ITSELF = "it is this daemon, or the engine behind it"


class Models(msgspec.Struct, frozen=True):
    """What a server serves. `wrong`: why that is not known, in words."""

    names: frozenset[str] = frozenset()
    wrong: str = ""


class Replicas:
    """`urls`: theirs, as typed; `upstream`: the first engine's, None while it is away; `front`: the daemon's own;
    `wanted`: whether a policy would use them; `key`: the API key that the first engine asks for."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        upstream: Callable[[], str | None],
        front: Callable[[], str],
        wanted: Callable[[], bool],
        emit: Callable[[ReplicaChecked], None],
        now_ns: Callable[[], int],
        key: str | None = None,
    ) -> None:
        self.known = read_replicas(urls)
        self._upstream, self._front, self._wanted = upstream, front, wanted
        self._emit, self._now_ns, self._key = emit, now_ns, key
        self._seen: dict[str, tuple[bool, str]] = {}
        self._served: tuple[str, frozenset[str]] | None = None
        self._turn = 0

    def words(self) -> dict[str, str]:
        """What was found last of each, by URL."""
        return {url: ("" if ok else "not used: ") + detail for url, (ok, detail) in self._seen.items()}

    def next(self) -> Replica | None:
        """One that can be used, each in its turn; None if there is none."""
        usable = [replica for replica in self.known if self._seen.get(replica.url, (False, ""))[0]]
        self._turn += 1
        return usable[self._turn % len(usable)] if usable else None

    def lost(self, replica: Replica, why: str) -> None:
        """It broke its connection: it is not used until it is seen to answer again."""
        self._say(replica.url, False, why)

    async def run(self) -> None:
        """Look until cancelled."""
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            await self.look(session)
            while True:
                await asyncio.sleep(LOOK_PERIOD_S)
                if self._wanted() or any(not ok for ok, _ in self._seen.values()):
                    await self.look(session)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Look at each of them once."""
        if not self.known:
            if self._wanted():
                self._say("", False, ONLY_ONE)
            else:
                self._seen.pop("", None)  # to be said again when it is switched on again
            return
        ours = await self._ours(session)
        for replica in self.known:
            self._say(replica.url, *await self._judged(session, replica, ours))

    async def _ours(self, session: aiohttp.ClientSession) -> frozenset[str] | None:
        """The names of what the first engine serves, None while that is not known."""
        url = self._upstream()
        if url is None:
            return None
        if self._served is None or self._served[0] != url:
            models = await served(session, Replica(url, self._key))
            self._served = None if models.wrong else (url, models.names)
        return self._served[1] if self._served else None

    async def _judged(
        self, session: aiohttp.ClientSession, replica: Replica, ours: frozenset[str] | None
    ) -> tuple[bool, str]:
        if _plain(replica.url) in (self._front(), self._upstream()):
            return False, ITSELF
        models = await served(session, replica)
        if models.wrong:
            return False, models.wrong
        if ours is None:
            return False, f"it serves {_listed(models.names)}; what the engine here serves is not known yet"
        if not models.names & ours:
            return False, f"it serves {_listed(models.names)}, not {_listed(ours)}"
        return True, f"it serves {_listed(models.names & ours)}"

    def _say(self, url: str, ok: bool, detail: str) -> None:
        """Remember it, and tell what has changed."""
        if self._seen.get(url) != (ok, detail):
            self._seen[url] = ok, detail
            self._emit(ReplicaChecked(t_ns=self._now_ns(), url=url, ok=ok, detail=detail))


async def served(session: aiohttp.ClientSession, replica: Replica) -> Models:
    """The names of the models that a server says it serves."""
    try:
        url = f"{replica.url}/v1/models"
        async with session.get(url, headers=bearer(replica.key), allow_redirects=False) as answer:
            if answer.status == 401:
                return Models(wrong="it asks for an API key: http://:key@host:port")
            if 300 <= answer.status < 400:
                return Models(wrong=f"it redirects (HTTP {answer.status}): the URL of the engine itself is wanted")
            if answer.status != 200:
                return Models(wrong=f"it answers /v1/models with HTTP {answer.status}")
            told: Any = msgspec.json.decode(await answer.read())
            names = frozenset(str(model["id"]) for model in told["data"])
    except TimeoutError:
        return Models(wrong="it does not answer in time")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return Models(wrong="what it says at /v1/models is not what an OpenAI-compatible server says")
    except (aiohttp.ClientError, OSError, ValueError) as error:  # of a host that is no name, too
        return Models(wrong=f"it does not answer: {error}")
    return Models(names) if names else Models(wrong="it serves no model")


def _plain(url: str) -> str:
    """As the daemon writes URLs of its own."""
    return url.replace("//localhost:", "//127.0.0.1:")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in sorted(names))
