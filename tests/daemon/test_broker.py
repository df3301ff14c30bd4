"""What both brokers promise: our own clients only, nothing leaked, a stuck reader in nobody's way, errors in words."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import aiomqtt
import msgspec
import psutil
import pytest
from brokers import mosquitto_child, open_raw

from radixdeck.daemon import broker_mosquitto
from radixdeck.daemon.broker import open_broker
from radixdeck.daemon.wire import ROOT, BrokerAddress
from radixdeck.daemon.wire_client import BrokerError, new_client, new_identifier, parse_url

needs_mosquitto = pytest.mark.skipif(broker_mosquitto.find_mosquitto() is None, reason="mosquitto is not installed")
MARK = f"{ROOT}/n1/mark"


@pytest.mark.parametrize(
    ("username", "password"), [("", ""), ("radixdeck", "wrong"), ("other", "x"), ("radixdeck", "")]
)
async def test_strangers_are_refused(broker: BrokerAddress, username: str, password: str) -> None:
    stranger = msgspec.structs.replace(broker, username=username, password=password)
    with pytest.raises(aiomqtt.MqttError):
        async with new_client(stranger, new_identifier("stranger")):
            pass
    async with new_client(broker, new_identifier("friend")):
        pass


async def test_only_loopback_listens(broker: BrokerAddress) -> None:
    assert broker.host == "127.0.0.1"
    mine = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [c.laddr for p in mine for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [a.ip for a in listening if a.port == broker.port] == ["127.0.0.1"]


async def test_retained_reaches_subscribers_only(broker: BrokerAddress) -> None:
    """amqtt by itself sends it to whoever connects, once anybody has subscribed."""
    async with open_raw(broker, f"{ROOT}/n1/status") as first:
        await first.publish(f"{ROOT}/n1/status", b"secret", retain=True)
        assert (await first.next()).payload == b"secret"
        async with open_raw(broker) as bystander:
            await bystander.client.subscribe(MARK, qos=1)
            await first.publish(MARK, b"mark")
            assert (await bystander.next()).payload == b"mark"
        async with open_raw(broker, f"{ROOT}/+/status") as late:
            message = await late.next()
            assert (message.payload, message.retain) == (b"secret", True)
            await late.client.subscribe(MARK, qos=1)
            await first.publish(MARK, b"mark")
            assert (await late.next()).payload == b"mark", "the retained state came twice"


async def test_nothing_travels_outside_our_root(broker: BrokerAddress) -> None:
    async with open_raw(broker, "#") as reader:
        await reader.publish("elsewhere/n1/status", b"no")
        await reader.publish(MARK, b"mark")
        assert (await reader.next()).payload == b"mark"


async def _never_reads(address: BrokerAddress) -> socket.socket:
    """A subscriber by hand (MQTT 3.1.1) that stops reading after its SUBACK."""
    user, password = address.username.encode(), address.password.encode()
    fields = b"".join(len(f).to_bytes(2, "big") + f for f in (b"stuck", user, password))
    connect = b"\x00\x04MQTT\x04\xc2\x00\x00" + fields
    wanted = f"{ROOT}/n1/events".encode()
    subscribe = b"\x00\x01" + len(wanted).to_bytes(2, "big") + wanted + b"\x00"
    link = socket.create_connection((address.host, address.port))
    link.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(link, b"\x10" + bytes([len(connect)]) + connect)
    assert (await loop.sock_recv(link, 4))[:1] == b"\x20"
    await loop.sock_sendall(link, b"\x82" + bytes([len(subscribe)]) + subscribe)
    assert (await loop.sock_recv(link, 5))[:1] == b"\x90"
    return link


def _resident_bytes() -> int:
    mine = psutil.Process()
    return sum(process.memory_info().rss for process in [mine, *mine.children()])


async def test_a_stuck_subscriber_is_in_nobodys_way(broker: BrokerAddress) -> None:
    """40 MB to one that never reads: the healthy one gets every byte, and the broker does not keep the rest."""
    stuck = await _never_reads(broker)
    payload, rounds, burst = os.urandom(20_000), 40, 50
    async with open_raw(broker, f"{ROOT}/n1/events") as healthy:
        before = _resident_bytes()
        for _ in range(rounds):
            for _ in range(burst):
                await healthy.publish(f"{ROOT}/n1/events", payload, qos=0)
            for _ in range(burst):
                assert (await healthy.next()).payload == payload
        grown = _resident_bytes() - before
    stuck.close()
    assert grown < 30 << 20, f"{grown >> 20} MiB more after {rounds * burst * len(payload) >> 20} MiB that nobody read"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("rabbit", "'rabbit' is not known"),
        ("http://host", "scheme 'http' is not known"),
        ("mqtt://", "no host"),
        ("mqtt://host:99999", "out of range"),
        ("mqtt://host:port", "broker URL"),
        ("mqtt://host/topic", "nothing may follow the port"),
        ("mqtt://[::1", "broker URL"),
    ],
)
async def test_a_bad_setting_is_named(setting: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=words):
        async with open_broker(setting, state_dir=tmp_path):
            pass


async def test_an_unreachable_broker_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(BrokerError, match=rf"127\.0\.0\.1:{port}") as caught:
            async with open_broker(f"mqtt://me:hunter2@127.0.0.1:{port}", state_dir=tmp_path):
                pass
    assert "hunter2" not in str(caught.value)


async def test_an_external_broker_is_used_in_the_version_it_speaks(broker: BrokerAddress, tmp_path: Path) -> None:
    url = f"mqtt://{broker.username}:{broker.password}@{broker.host}:{broker.port}"
    async with open_broker(url, state_dir=tmp_path) as found:
        assert (found.kind, found.v5, found.port) == ("external", broker.kind == "mosquitto", broker.port)


def test_url_parts_are_unquoted_and_defaults_are_the_registered_ports() -> None:
    address = parse_url("mqtts://a%40b:p%3Aw@example.org")
    assert (address.username, address.password, address.port, address.tls) == ("a@b", "p:w", 8883, True)
    assert parse_url("mqtt://example.org").port == 1883


async def test_without_mosquitto_auto_takes_amqtt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(broker_mosquitto, "PLACES", ())
    async with open_broker("auto", state_dir=tmp_path) as address:
        assert address.kind == "amqtt"
    with pytest.raises(BrokerError, match="not installed"):
        async with open_broker("mosquitto", state_dir=tmp_path):
            pass


async def test_a_mosquitto_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "mosquitto"
    broken.write_text("#!/bin/sh\necho '1: Error: out of paint' >&2\nexit 7\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(BrokerError, match=r"status 7: .*out of paint"):
        async with open_broker("mosquitto", state_dir=tmp_path / "state"):
            pass
    async with open_broker("auto", state_dir=tmp_path / "state") as address:
        assert address.kind == "amqtt"


def _modes(folder: Path) -> dict[str, int]:
    return {path.name.partition("-")[0]: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def _texts(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


@needs_mosquitto
async def test_mosquitto_leaves_no_secret_to_others_and_no_trace(tmp_path: Path) -> None:
    (tmp_path / "broker-999999999-left").mkdir()
    async with open_broker("mosquitto", state_dir=tmp_path) as address:
        assert _modes(tmp_path) == {"broker": 0o700, "mosquitto.conf": 0o600, "passwords": 0o600, "acl": 0o600}
        assert address.password not in _texts(tmp_path)
        child = mosquitto_child()
    assert not child.is_running()
    assert _modes(tmp_path) == {}


@needs_mosquitto
@pytest.mark.parametrize("name", ["", "nobody"])
async def test_mosquitto_starts_whatever_its_user_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A user without a name, as in a container with a number of its own, and one that is told another's."""

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, name)
    async with open_broker("mosquitto", state_dir=tmp_path) as address:
        assert address.kind == "mosquitto"


@needs_mosquitto
def test_mosquitto_dies_with_a_killed_daemon(tmp_path: Path) -> None:
    script = (
        "import asyncio, pathlib, psutil\n"
        "from radixdeck.daemon.broker import open_broker\n"
        "async def main():\n"
        f"    async with open_broker('mosquitto', state_dir=pathlib.Path({str(tmp_path)!r})):\n"
        "        print(psutil.Process().children()[0].pid, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        # A structured log line may come first.
        child = psutil.Process(int(next(line for line in daemon.stdout if line.strip().isdigit())))
        assert child.name() == "mosquitto"
        daemon.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
