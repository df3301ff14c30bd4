"""Fixtures that more than one room uses."""

from brokers import broker, broker_kind

__all__ = ["broker", "broker_kind"]
