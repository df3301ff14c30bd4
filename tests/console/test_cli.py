"""The command line as a user types it, in a process of its own: what it says, and with which code it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typed import COMMAND, cold, completed, environment, radixdeck

from radixdeck.console import cli_headless
from radixdeck.console.cli_options import UNUSABLE, address_of
from radixdeck.console.words import command_line
from radixdeck.daemon.discovery import announce
from radixdeck.daemon.engine.args import CPU_KV_TOKENS
from radixdeck.daemon.orders import ORDERS, synopsis
from radixdeck.daemon.paths import home_of
from radixdeck.daemon.wire import BrokerAddress, Discovery
from radixdeck.daemon.wire_client import BrokerError


def test_help_names_every_command(tmp_path: Path) -> None:
    said = cold(tmp_path, "--help").stdout
    for name in ("serve", "console", "web", "replay", "recordings", "tail", "status", "act"):
        assert name in said


def test_versions_are_told(tmp_path: Path) -> None:
    said = cold(tmp_path, "--version").stdout
    assert re.fullmatch(r"radixdeck \S+, (SGLang \S+|no SGLang), Python 3\.\d+\.\S+\n", said), said


def test_what_follows_the_dashes_is_sglangs_even_without_a_model(tmp_path: Path) -> None:
    theirs = ("--tp-size", "2", "--kv-cache-dtype", "auto")
    ran = cold(tmp_path, "serve", "--dry-run", "--device", "cpu", "--", *theirs)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.rstrip().endswith("--tp-size 2 --kv-cache-dtype auto")
    assert "--model-path MODEL" in ran.stdout


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("prot = 1", "prot"),
        ("port = 'x'", "$.port"),
        ("port = 99999", "port"),
        ("[engine]\nkv_token = 5", "kv_token"),
        ("node = 'a/b'", "node"),
        ("port = ", "not valid TOML"),
        ("\x00", "not valid TOML"),
    ],
)
def test_a_bad_config_is_refused_by_file_and_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "radixdeck.toml").write_text(text)
    ran = radixdeck(tmp_path, "serve", "--dry-run")
    assert ran.returncode == 2
    assert "radixdeck.toml" in ran.stderr
    assert named in ran.stderr
    assert "Traceback" not in ran.stderr


def test_second_engines_may_be_typed(tmp_path: Path) -> None:
    two = ("--replica", "http://127.0.0.1:9000", "--replica", "http://:secret@other:9000/v1")
    assert radixdeck(tmp_path, "serve", "--dry-run", *two).returncode == 0
    ran = radixdeck(tmp_path, "serve", "--dry-run", "--replica", "user:secret@other")
    assert (ran.returncode, "--replica: 'other' is no URL" in ran.stderr) == (2, True)
    assert "secret" not in ran.stderr


def test_typed_values_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "radixdeck.toml").write_text("[engine]\nkv_tokens = 5000\ndevice = 'cpu'\n")
    assert "5000" in radixdeck(tmp_path, "serve", "--dry-run").stdout
    assert "7000" in radixdeck(tmp_path, "serve", "--dry-run", "--kv-tokens", "7000").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--broker", "foo"], "--broker: 'foo' is not known; expected auto, mosquitto, amqtt, or mqtt://"),
        (["--broker", "me:secret@10.0.0.1"], "--broker: '10.0.0.1' is not known; did you mean mqtt://user:password@10"),
        (["--broker", "http://host"], "--broker: URL 'http://host': scheme 'http' is not known"),
        (["--kv-tokens", "-5"], "--kv-tokens: -5 is not a number of tokens above 0"),
        (["--kv-tokens", "0"], "--kv-tokens: 0 is not"),
        (["--device", "tpu"], "--device: 'tpu' is none of auto, cpu, cuda\n"),
        (["--policy", "kv_caching,safety"], "--policy: no policy named 'kv_caching,safety'; known: "),
        (["--policy", "kv_caching,safety"], "(repeat --policy)\n"),
        (["--port", "99999"], "--port: 99999 is not between 0 and 65535"),
        (["--node", "a/b"], "--node: 'a/b'"),
    ],
)
def test_what_cannot_be_served_is_refused_by_the_option_that_was_typed(
    tmp_path: Path, words: list[str], said: str
) -> None:
    ran = radixdeck(tmp_path, "serve", "--dry-run", *words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert "secret" not in ran.stderr


def test_a_dry_run_shows_the_daemons_own_settings_beside_the_command(tmp_path: Path) -> None:
    told = ("--port", "0", "--policy", "lru", "--policy", "safety", "--broker", "mqtt://me:secret@box", "--node", "n1")
    ran = radixdeck(tmp_path, "serve", "--dry-run", *told)
    assert ran.returncode == 0
    shown = dict(line.split(None, 1) for line in ran.stderr.splitlines())
    assert shown == {
        "node": "n1", "host": "127.0.0.1", "port": "a free one", "broker": "mqtt://box", "policies": "lru, safety",
        "home": str(tmp_path),
    }  # fmt: skip
    assert ran.stdout.count("\n") == 1  # the command, to be run as it stands


def test_the_size_of_the_cache_on_a_cpu_is_in_the_help(tmp_path: Path) -> None:
    said = " ".join(radixdeck(tmp_path, "serve", "--help").stdout.split())
    assert f"[SGLang decides; on a CPU {CPU_KV_TOKENS}]" in said


def test_no_daemon_is_said_in_words(tmp_path: Path) -> None:
    for words in (("act", "evict", "agent=x"), ("tail", "--timeout", "0.2"), ("status",), ("console",)):
        ran = cold(tmp_path, *words)
        assert ran.returncode == 3, ran
        assert "no daemon runs here" in ran.stderr
    assert not (tmp_path / "state").exists(), "they only look"


def test_a_home_that_is_no_folder_has_no_daemon(tmp_path: Path) -> None:
    ran = radixdeck(tmp_path, "status", "--home", "/etc/passwd")
    assert (ran.returncode, ran.stderr.count("\n"), "/etc/passwd/state" in ran.stderr) == (3, 1, True)


def test_tail_waits_for_a_local_daemon(tmp_path: Path) -> None:
    ran = radixdeck(tmp_path, "tail", "--timeout", "0.2")
    assert "no connection to the broker, trying again (Ctrl-C ends): no daemon runs here" in ran.stderr
    assert ran.stderr.endswith(": waited 0.2 s\n")
    where = address_of("", "n1", str(tmp_path), waits=True)
    with pytest.raises(BrokerError, match="no daemon runs here"):
        where()
    here = BrokerAddress(host="127.0.0.1", port=1)
    known = Discovery(node="n1", pid=os.getpid(), endpoint="", broker=here, recording="")
    announce(home_of(str(tmp_path)).state, known)
    assert where() == here


@pytest.mark.parametrize("word", ["recordings", "--help"])
def test_output_that_cannot_be_written_has_a_code_of_its_own(tmp_path: Path, word: str) -> None:
    read_end, closed = os.pipe()
    os.close(read_end)
    for to, said in (("/dev/full", "radixdeck: output: No space left on device\n"), (closed, "")):
        with open(to, "w") as out:
            ran = subprocess.run([*COMMAND, word], stdout=out, stderr=subprocess.PIPE, text=True,
                                 env=environment(tmp_path), check=False)  # fmt: skip
        assert (ran.returncode, ran.stderr) == (UNUSABLE, said)


def test_what_follows_the_dashes_is_ours_where_no_other_program_follows(tmp_path: Path) -> None:
    ran = radixdeck(tmp_path, "status", "--", "--json")
    assert (ran.returncode, "unexpected extra argument(s) (--json)" in ran.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("fly",), "no order 'fly'"),
        (("evict", "agent"), "name=value"),
        (("evict", "agent=a", "agent=b"), "agent is given twice"),
    ],
)
def test_a_bad_order_is_refused(tmp_path: Path, words: tuple[str, ...], named: str) -> None:
    ran = radixdeck(tmp_path, "act", "--broker", "mqtt://127.0.0.1:1", *words)
    assert ran.returncode == 2
    assert named in ran.stderr


def test_the_name_of_an_order_is_looked_at_before_a_daemon_is_looked_for(tmp_path: Path) -> None:
    ran = radixdeck(tmp_path, "act", "foo")
    assert ran.returncode == 2
    assert "no order 'foo'; known: watch, warm, pin" in ran.stderr


def test_the_help_of_act_has_every_order_with_its_arguments(tmp_path: Path) -> None:
    said = " ".join(radixdeck(tmp_path, "act", "--help").stdout.split())
    for name, known in ORDERS.items():
        assert f"{synopsis(name)} {known.does}" in said
    assert "Recorded with the order." in said


def test_help_loads_neither_the_console_nor_the_engine(tmp_path: Path) -> None:
    program = (
        "import atexit, sys; from radixdeck.console.cli import main;"
        "atexit.register(lambda: print(*{name.split('.')[0] for name in sys.modules}, file=sys.stderr)); main()"
    )
    for words in (["--help"], ["act", "--help"], ["replay", "--help"]):
        ran = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True,
                             env=environment(tmp_path), check=True)  # fmt: skip
        assert {"textual", "sglang", "torch", "aiomqtt", "aiohttp"} & set(ran.stderr.split()) == set()


def test_orders_are_completed_with_tab(tmp_path: Path) -> None:
    assert completed(tmp_path, "radixdeck act qu") == ["quarantine"]


@pytest.mark.parametrize("command", [("act", "flush"), ("console",), ("tail",), ("status",), ("web",)])
def test_a_name_that_no_daemon_can_have_is_said_in_words(tmp_path: Path, command: tuple[str, ...]) -> None:
    ran = radixdeck(tmp_path, *command, "--broker", "mqtt://127.0.0.1:1", "--node", "a b")
    assert ran.returncode == 2
    assert ran.stderr == "radixdeck: node name 'a b': letters, digits, '_', '.' and '-' only, at most 64\n"


def test_a_bad_broker_url_is_refused(tmp_path: Path) -> None:
    ran = radixdeck(tmp_path, "act", "flush", "--broker", "http://127.0.0.1")
    assert ran.returncode == 3
    assert "scheme 'http'" in ran.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("127.0.0.1:1883", "mqtt://127.0.0.1:1883"),
        ("box.example:1884", "mqtt://box.example:1884"),
        ("localhost", "mqtt://localhost"),
        ("me:secret@box:1883", "mqtt://user:password@box:1883"),
    ],
)
def test_a_broker_without_a_scheme_is_answered_with_what_was_meant(tmp_path: Path, typed: str, meant: str) -> None:
    ran = radixdeck(tmp_path, "tail", "--broker", typed)
    assert ran.returncode == 3
    assert f"broker URL {typed.removeprefix('me:secret@')!r}: no scheme; did you mean {meant}?" in ran.stderr
    assert "secret" not in ran.stderr


def test_what_is_no_host_at_all_has_no_guess(tmp_path: Path) -> None:
    ran = radixdeck(tmp_path, "tail", "--broker", "what:ever")
    assert "broker URL 'what': no scheme; expected mqtt://" in ran.stderr


@pytest.mark.parametrize("content", [None, b"", b"SQLite format 3\x00 not really", b"hello"])
def test_a_recording_that_is_none_is_said_in_words(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    ran = radixdeck(tmp_path, "replay", str(path))
    assert ran.returncode == 2
    assert "x.db" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_names_stay_text_and_numbers_are_numbers() -> None:
    words = ["agent=007", "session=1e3", "name=true", "policy=1", "value=0.5", "node=12", "enabled=false"]
    assert cli_headless.parse_arguments(words) == {
        "agent": "007", "session": "1e3", "name": "true", "policy": "1", "value": 0.5, "node": 12, "enabled": False,
    }  # fmt: skip


def test_a_suggested_command_is_one_that_the_shell_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = tmp_path / "my env" / "bin"
    bin_folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "executable", str(bin_folder / "python"))
    assert command_line("serve") == "radixdeck serve"
    script = bin_folder / "radixdeck"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_line("replay", Path("a b.db")) == f"'{script}' replay 'a b.db'"
    monkeypatch.setenv("PATH", str(bin_folder))
    assert command_line("serve") == "radixdeck serve"
