"""An external broker over TLS: believed only with a certificate that somebody we trust has signed."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from background import beside
from brokers import until

from radixdeck.daemon.broker import open_broker
from radixdeck.daemon.broker_mosquitto import find_mosquitto
from radixdeck.daemon.mqtt import MqttLink
from radixdeck.daemon.wire import Command, Reply
from radixdeck.daemon.wire_client import BrokerError

pytestmark = pytest.mark.skipif(
    find_mosquitto() is None or shutil.which("openssl") is None, reason="mosquitto or openssl is not installed"
)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return tmp_path / "cert.pem"


@pytest.fixture
def tls_port(certificate: Path) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = certificate.with_name("tls.conf")
    config.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n"
        f"certfile {certificate}\nkeyfile {certificate.with_name('key.pem')}\n"
    )
    program = str(find_mosquitto())
    with subprocess.Popen([program, "-v", "-c", str(config)], stderr=subprocess.PIPE, text=True) as broker:
        assert broker.stderr is not None
        assert any("running" in line for line in broker.stderr), "mosquitto did not start"
        yield port
        broker.terminate()


async def test_a_trusted_certificate_connects_and_serves(
    tls_port: int, certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def handler(command: Command) -> Reply:
        return Reply(id=command.id, state="done")

    async with open_broker(f"mqtts://127.0.0.1:{tls_port}", state_dir=tmp_path) as address:
        assert (address.tls, address.v5) == (True, True)
        link = MqttLink(address, "n1", handler)
        async with beside(link.run()):
            await until(lambda: link.connected, "the link connects")


async def test_an_unknown_certificate_is_refused_in_words(tls_port: int, tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="certificate verify failed"):
        async with open_broker(f"mqtts://127.0.0.1:{tls_port}", state_dir=tmp_path):
            pass
