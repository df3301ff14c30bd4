"""What the model expects, in words that others can show: next agents by session, survival by agent."""

from __future__ import annotations

import numpy as np

from ..primitives import Prediction
from .model import ReuseModel
from .rates import CERTAIN


def outlook(model: ReuseModel, now_s: float) -> Prediction:
    """The prediction at an instant; an empty one as long as nothing was dispatched."""
    rates, tables = model.rates(now_s), model.tables
    if rates is None or tables is None:
        return Prediction()
    value = np.minimum(rates.by_session / (rates.by_session + rates.beta_per_s), CERTAIN)
    fresh = model.turnover.sessions_per_s * tables.start
    likely: list[float] = (1.0 - np.prod(1.0 - value, axis=0) * np.exp(-fresh / rates.beta_per_s)).tolist()
    slots = [(agent, slot) for agent, slot in model.agents.items() if slot < len(rates.by_agent)]
    next_agent: dict[str, dict[str, float]] = {}
    for name, session in model.standing.by_name.items():
        row = (rates.alive[session.place] * model.next_agents(session)).tolist()
        next_agent[name] = {agent: row[slot] for agent, slot in slots}
    return Prediction(
        next_agent=next_agent,
        survival={agent: likely[slot] for agent, slot in slots},
        predictability=model.transitions.predictability(),
        dispatches=model.dispatches,
    )
