"""The README names every policy, event, topic and command there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from radixdeck.daemon import wire
from radixdeck.demos import model_table, policy_table
from radixdeck.policies import registry
from radixdeck.policies.events import KINDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", README, re.M | re.S)
    assert found, f"the README has no section {title!r}"
    return found[1]


def named_in(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def test_every_event_kind_is_named_and_no_other() -> None:
    listed = section("MQTT").split("Events (", 1)[1]
    assert named_in(listed) == set(KINDS)


def test_every_command_is_named() -> None:
    orders = section("MQTT").split("Orders:", 1)[1].split(".", 1)[0]
    assert named_in(orders) == set(get_args(wire.CommandName))


def test_every_policy_is_described_in_its_own_words() -> None:
    text = section("Policies")
    for name in registry.names():
        assert f"| `{name}` | {registry.create(name).doc} |" in text


@pytest.mark.parametrize("leaf", ["status", "agents", "policies", "residency", "events", "metrics", "command"])
def test_every_topic_is_listed(leaf: str) -> None:
    assert f"`{leaf}`" in section("MQTT")
    assert wire.topic("node", leaf).endswith(f"/{leaf}")


def test_every_file_the_readme_points_at_is_there() -> None:
    for name in re.findall(r"`((?:policies|storage|daemon|console|demos)/[\w/.]+\.py)`", README):
        assert (ROOT / name).is_file(), name


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


@pytest.mark.parametrize(("page", "how"), [("README.md", ["--brief"]), ("docs/benchmarks.md", [])])
def test_tables_are_what_their_records_say(page: str, how: list[str]) -> None:
    for table in (policy_table, model_table):
        assert table.main(["--into", str(ROOT / page), "--check", *how]) == 0
