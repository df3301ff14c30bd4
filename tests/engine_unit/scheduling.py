"""A scheduler in miniature around a real cache: batches as SGLang makes them, without a model to run.

Prefill goes first, a batch of it takes as many prompt tokens as `chunk_tokens` allows, and everything else decodes one
token of each running request. With `overlap`, results of a batch are seen when room for the next one is made already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radixdeck.daemon.engine.hooks import extended_tokens, one_token
from radixdeck.daemon.engine.requests import Match


@dataclass(eq=False)
class Job:
    """A request on its way through. `output`: tokens it is to produce."""

    req: Any
    output: int

    @property
    def is_whole(self) -> bool:
        """Whether room was made for the whole prompt."""
        return self.req.extend_range.end >= len(self.req.origin_input_ids)

    @property
    def is_done(self) -> bool:
        return len(self.req.output_ids) >= self.output


class Loop:
    """`bench`: see conftest. `finished` is told the request of every job that is through. `refuses` says whether there
    is no room for the next one after all; it is looked up again the next turn."""

    def __init__(
        self,
        bench: Any,
        chunk_tokens: int,
        overlap: bool,
        finished: Callable[[Any], None],
        refuses: Callable[[], bool] = lambda: False,
    ) -> None:
        self.bench = bench
        self.waiting: deque[Job] = deque()
        self.running: list[Job] = []
        self._chunk_tokens = chunk_tokens
        self._overlap = overlap
        self._finished = finished
        self._refuses = lambda: bool(self.running or self._cut) and refuses()
        self._cut: Job | None = None
        self._last: list[Job] = []
        self._results: deque[list[Job]] = deque()

    @property
    def is_busy(self) -> bool:
        return bool(self.waiting or self.running or self._cut or self._last or self._results)

    def ask(self, tokens: list[int], output: int, **identity: Any) -> None:
        self.waiting.append(Job(self.bench._new_req(tokens, None, identity), output))

    def turn(self, most: int) -> None:
        """One turn of the loop, with up to `most` requests at once."""
        if self._cut is not None:
            self.bench.cache.cache_unfinished_req(self._cut.req, chunked=True)
        self.running += [job for job in self._last if job is not self._cut and not job.is_done]
        self._last = []
        batch = self._prefill_batch(most)
        if batch:
            self._last = batch
        else:
            self.running = [job for job in self.running if not job.is_done]
            batch = list(self.running)
            self._decode(batch)
        if batch:
            self._results.append([job for job in batch if job.is_whole])
        while len(self._results) > int(self._overlap and bool(batch)):
            self._see(self._results.popleft())

    # ---- batches -----------------------------------------------------------------------------------------------------

    def _prefill_batch(self, most: int) -> list[Job]:
        left, batch = self._chunk_tokens, list[Job]()
        if self._cut is not None:
            self._cut.req.init_next_round_input()
            left -= self._cut_to(self._cut, left)
            batch.append(self._cut)
        while self.waiting and left > 0 and len(self.running) + len(batch) < most:
            job = self.waiting[0]
            job.req.init_next_round_input(self.bench.cache)
            if self._refuses():
                break
            self.waiting.popleft()
            job.req.lock_receipt = self.bench.cache.inc_lock_ref(job.req.last_node).to_dec_params()
            left -= self._cut_to(job, left)
            match = Match(len(job.req.prefix_indices), 0, job.req.last_node)
            self.bench.cache.requests.dispatched(job.req, match, self.bench.cache.tree_core)
            batch.append(job)
        self._cut = next((job for job in batch if not job.is_whole), None)
        if batch:
            self._extend([job.req for job in batch])
        return batch

    def _cut_to(self, job: Job, left: int) -> int:
        """How many tokens of a job's prompt go into a batch with that much room left."""
        begin = len(job.req.prefix_indices)
        tokens = min(left, len(job.req.full_untruncated_fill_ids) - begin)
        job.req.set_extend_range(begin, begin + tokens)
        return tokens

    def _extend(self, reqs: list[Any]) -> None:
        rows = self.bench.rows
        self.bench.cache.requests.allocating_for(reqs, extended_tokens)
        slots = self.bench._allocate(sum(req.extend_range.length for req in reqs))
        for req in reqs:
            begin, end = len(req.prefix_indices), req.extend_range.end
            if req.kv.req_pool_idx is None:
                (req.kv.req_pool_idx,) = rows.alloc([req])
                rows.write((req.kv.req_pool_idx, slice(0, begin)), req.prefix_indices)
            rows.write((req.kv.req_pool_idx, slice(begin, end)), slots[: end - begin])
            slots = slots[end - begin :]
            req.kv.kv_committed_len = req.kv.kv_allocated_len = end

    def _decode(self, batch: list[Job]) -> None:
        if not batch:
            return
        self.bench.cache.requests.allocating_for([job.req for job in batch], one_token)
        for job, slot in zip(batch, self.bench._allocate(len(batch)).split(1), strict=True):
            done = job.req.kv.kv_committed_len
            self.bench.rows.write((job.req.kv.req_pool_idx, slice(done, done + 1)), slot)
            job.req.kv.kv_committed_len = job.req.kv.kv_allocated_len = done + 1

    # ---- results -----------------------------------------------------------------------------------------------------

    def _see(self, batch: list[Job]) -> None:
        """Every job whose prompt is computed gained a token, unless it was done before."""
        for job in batch:
            if job.is_done:
                continue
            fresh = not job.req.output_ids
            job.req.output_ids.append((job.req.origin_input_ids[-1] * 31 + len(job.req.output_ids)) % 997 + 3)
            if job.is_done:
                self._release(job.req)
            elif fresh:
                self.bench.cache.cache_unfinished_req(job.req)

    def _release(self, req: Any) -> None:
        cache, upto = self.bench.cache, req.kv.kv_committed_len
        cache.insert_req(req, up_to=upto)
        cache.free_kv_row(req.kv, [(req.kv.cache_protected_len, upto)])
        cache.unpin(req)
        cache.on_release(req, inserted=True)
        self.bench.rows.free(req)
        self._finished(req)
