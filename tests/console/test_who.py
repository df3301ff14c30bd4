"""Whose name an order carries when nobody says one."""

from __future__ import annotations

import getpass
import socket

import pytest

from radixdeck.console.feed_commands import new_command


def test_an_order_carries_the_user_and_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    monkeypatch.setattr(socket, "gethostname", lambda: "desk")
    assert new_command("c", "flush").by == "ann@desk"
    assert new_command("c", "flush", by="bob").by == "bob"


@pytest.mark.parametrize("error", [KeyError, ImportError, OSError])
def test_a_user_without_a_name_is_an_operator(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    def nobody() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert new_command("c", "flush").by == "operator"
