"""What the console knows of every daemon: messages in, one folded state per node out. The only truth of the screens.

No Textual and no sockets in here. Live and replayed runs come in as the same messages and give the same state.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from radixdeck.daemon.wire import Keyframe, PoliciesTable, Status
from radixdeck.policies.residency import RunState, fold

from .event_log import EventLog
from .feed_messages import (
    Connection,
    FeedMessage,
    NodeAgents,
    NodeCleared,
    NodeEvents,
    NodeKeyframe,
    NodeMetrics,
    NodeOrders,
    NodePolicies,
    NodeStatus,
)
from .flashes import Flashes
from .operator_log import OperatorLog
from .sentences import sentence
from .silence import is_silent
from .theme import AgentMark, agent_marks

JUMP_S = 60.0


@dataclass
class NodeState:
    """One daemon. `run` is folded up to event `seq` of run `run_id`; `synced`: a keyframe has been seen.

    `clock_jumps`: how often its clock went ahead of the time that passed here, or back, by JUMP_S or more; the last
    time by `clock_jump_s`.
    `folded_s`: when, by the clock here, the last event came; `ticked`: one came since the keyframe, whose own last
    event may be hours old. `metrics_ns`: the time the node gave with its last numbers, 0 before any, and `metrics_s`:
    when that was here.
    """

    node: str
    status: Status | None = None
    run: RunState = field(default_factory=RunState)
    run_id: str = ""
    seq: int = -1
    synced: bool = False
    table: PoliciesTable | None = None
    log: EventLog = field(default_factory=EventLog)
    orders: OperatorLog = field(default_factory=OperatorLog)
    flashes: Flashes = field(default_factory=Flashes)
    unknown_events: int = 0
    clock_jumps: int = 0
    clock_jump_s: float = 0.0
    heard_s: float = 0.0
    folded_s: float = 0.0
    ticked: bool = False
    metrics_ns: int = 0
    metrics_s: float = 0.0

    @property
    def online(self) -> bool:
        return self.status is not None and self.status.online

    @property
    def marks(self) -> dict[str, AgentMark]:
        """Letter and colour per agent, in the order the run met them."""
        return agent_marks(self.run.agents)


class FleetState:
    """Every node heard of, and the connection they are heard through.

    `clock`: monotonic seconds. `event_clock`: the moment a replay stands at, UTC nanoseconds; None for a live feed.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, event_clock: Callable[[], int] | None = None
    ) -> None:
        self.nodes: dict[str, NodeState] = {}
        self.connected = False
        self.why_lost = "connecting"
        self.lost_since_s = self._up_since_s = clock()
        self.ever_connected = False
        self.over = False
        self._clock = clock
        self._event_clock = event_clock

    def apply(self, message: FeedMessage) -> None:
        """Take one message of a feed into the state. Never raises on what a node said."""
        match message:
            case Connection():
                self._on_connection(message)
            case NodeStatus():
                self._heard(message.node).status = message.status
            case NodeCleared():
                self._on_cleared(message.node)
            case NodeKeyframe():
                self._on_keyframe(self._heard(message.node), message.keyframe)
            case NodeEvents():
                self._on_events(self._heard(message.node), message)
            case NodeOrders():
                self._on_orders(self._heard(message.node), message)
            case NodePolicies():
                self._heard(message.node).table = message.table
            case NodeMetrics():
                self._on_metrics(self._heard(message.node), message.metrics.t_ns)
            case NodeAgents():
                # A summary of what the folded state says in full.
                self._heard(message.node)

    @property
    def lost_s(self) -> float:
        """For how long the connection has been lost; 0 while it is up."""
        return 0.0 if self.connected else self._clock() - self.lost_since_s

    def silent_s(self, entry: NodeState) -> float:
        """For how long nothing has been heard of a node."""
        return self._clock() - entry.heard_s

    def is_silent(self, entry: NodeState) -> bool:
        """Whether a node is not heard any more though the broker is. In a replay nobody is heard or not."""
        if self._event_clock is not None or not self.connected:
            return False
        return is_silent(entry.heard_s, self._up_since_s, self._clock())

    def is_live(self, entry: NodeState) -> bool:
        """Whether a node said that it is there, and is heard."""
        return entry.online and not self.is_silent(entry)

    def now_ns(self, entry: NodeState) -> int:
        """The node's event clock: the time of its last event or of its last numbers plus what passed here since, what
        is later, standing still while lost; in a replay the moment it stands at."""
        if self._event_clock:
            return self._event_clock()
        return self._told_ns(entry, self._clock() if self.connected else None)

    def _told_ns(self, entry: NodeState, here_s: float | None) -> int:
        """The node's clock as it should stand when it is `here_s` here; None: as it stood when it was last told. An
        idle node has no events, but tells the time with its numbers."""
        told = ((entry.run.t_ns, entry.folded_s), (entry.metrics_ns, entry.metrics_s))
        return max(t_ns + (max(0, int((here_s - s) * 1e9)) if here_s is not None and s else 0) for t_ns, s in told)

    def _heard(self, node: str) -> NodeState:
        entry = self.nodes.get(node)
        if entry is None:
            entry = self.nodes[node] = NodeState(node)
        entry.heard_s = self._clock()
        return entry

    def _on_connection(self, message: Connection) -> None:
        if self.connected and not message.up:
            self.lost_since_s = self._clock()
        if message.up and not self.connected:
            self._up_since_s = self._clock()
        self.connected, self.why_lost, self.over = message.up, message.why, message.over
        self.ever_connected |= message.up

    def _on_cleared(self, node: str) -> None:
        """A node that is still there says its status again."""
        entry = self.nodes.get(node)
        if entry is not None and not self.is_live(entry):
            del self.nodes[node]

    def _on_keyframe(self, entry: NodeState, keyframe: Keyframe) -> None:
        if keyframe.run != entry.run_id or keyframe.seq < entry.seq:
            entry.log.clear()
            entry.flashes.clear()
            entry.orders.forget_after(keyframe.seq if keyframe.run == entry.run_id else -1)
        elif entry.synced:
            # Of what happened since the last event only the sum is told.
            entry.log.skip(range(entry.seq + 1, keyframe.seq + 1))
        entry.run, entry.run_id, entry.seq = keyframe.state, keyframe.run, keyframe.seq
        entry.synced, entry.ticked = True, False
        entry.folded_s = self._clock()

    def _on_events(self, entry: NodeState, message: NodeEvents) -> None:
        """Fold what is new; what the keyframe contained already is only written to the log."""
        if not entry.synced or message.run != entry.run_id:
            return
        if self._event_clock is None and message.last_seq > entry.seq and message.events:
            self._watch_clock(entry, message.events[-1][1].t_ns)
        entry.log.heard_from(message.first_seq)
        for seq, event in message.events:
            entry.orders.add(seq, event, entry.run if seq > entry.seq else None, entry.table, entry.run.policies)
            if seq > entry.seq:
                fold(entry.run, event)
            entry.flashes.add(event, entry.run)
            entry.log.add(seq, event, sentence(event, entry.run))
        if message.last_seq > entry.seq:
            entry.seq = message.last_seq
            entry.folded_s, entry.ticked = self._clock(), True
        entry.unknown_events += message.unknown

    def _on_orders(self, entry: NodeState, message: NodeOrders) -> None:
        if entry.synced and message.run == entry.run_id:
            for seq, event in message.events:
                entry.orders.add(seq, event, None, None, entry.run.policies)

    def _on_metrics(self, entry: NodeState, t_ns: int) -> None:
        if entry.metrics_ns:
            self._watch_ahead(entry, t_ns)
        entry.metrics_ns, entry.metrics_s = t_ns, self._clock()

    def _watch_clock(self, entry: NodeState, t_ns: int) -> None:
        """Late events are no jump: ahead is judged by the time that passed here, back by what the node said before.
        Nor is the first event after a long rest, where only the event before it told the time."""
        if not entry.folded_s or not entry.run.t_ns:
            return
        back_s = (t_ns - entry.run.t_ns) / 1e9
        if back_s <= -JUMP_S:
            self._jumped(entry, back_s)
        elif entry.ticked or entry.metrics_ns:
            self._watch_ahead(entry, t_ns)

    def _watch_ahead(self, entry: NodeState, t_ns: int) -> None:
        ahead_s = (t_ns - self._told_ns(entry, self._clock())) / 1e9
        if ahead_s >= JUMP_S:
            self._jumped(entry, ahead_s)

    def _jumped(self, entry: NodeState, by_s: float) -> None:
        entry.clock_jumps += 1
        entry.clock_jump_s = by_s
