"""The policies of a run with their tunables: as the daemon publishes them, or, in a replay, as the events left them."""

from __future__ import annotations

from msgspec.structs import replace

from radixdeck.daemon.policies_table import as_seen, policy_info
from radixdeck.daemon.wire import PoliciesTable, PolicyInfo
from radixdeck.policies.host import PolicyError, PolicyHost, TunableError
from radixdeck.policies.residency import RunState

from .fleet_state import NodeState


def policy_table(entry: NodeState) -> PoliciesTable:
    """What the daemon says, or a table made of the run's own events where nobody says anything. Tunables changed during
    the run are known from its events before the daemon's next table."""
    if entry.table is None:
        return _from_run(entry.run)
    tuned = [_as_tuned(policy, entry.run) for policy in entry.table.policies]
    return replace(entry.table, policies=as_seen(tuned, entry.run))


def _as_tuned(policy: PolicyInfo, run: RunState) -> PolicyInfo:
    changed = run.tunables.get(policy.name, {})
    return replace(policy, tunables=[replace(t, value=changed.get(t.name, t.value)) for t in policy.tunables])


def _from_run(run: RunState) -> PoliciesTable:
    """Declarations come from the policies of this installation; one that is not installed is only named."""
    on = [name for name, enabled in run.policies.items() if enabled]
    try:
        facts = PolicyHost(on, run.tunables).info()
    except (PolicyError, TunableError) as error:
        return PoliciesTable(policies=[_named_only(name, name in on, str(error)) for name in run.policies])
    return PoliciesTable(policies=as_seen([policy_info(fact) for fact in facts], run))


def _named_only(name: str, enabled: bool, why: str) -> PolicyInfo:
    return PolicyInfo(name=name, doc=f"not known here: {why}", slot="", enabled=enabled)
