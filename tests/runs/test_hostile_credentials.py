"""Content Credentials that reach for the network, run wild, or ruin a file when their process dies."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runs.signed_files import MANIFEST, Command, ingredient, sound_file
from stemline.media.wave.riff import chunks
from stemline.trust import c2pa_files, content_credentials, keys
from stemline.trust.content_credentials import read_credentials, write_credentials


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine, and the connections that came to it."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                came.append(address)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came


_REMOTE = """
import json, sys
import c2pa
from stemline.trust import keys
private, chain = keys.own_key().to_pem()
signer = c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", chain, private, None))
builder = c2pa.Builder(sys.stdin.read())
builder.set_no_embed()
builder.set_remote_url(sys.argv[3])
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "w+b") as target:
    builder.sign(signer, sys.argv[4], source, target)
"""
_READ_WITH_DEFAULTS = """
import sys
import c2pa
try:
    with open(sys.argv[1], "rb") as stream:
        c2pa.Reader(sys.argv[2], stream)
except c2pa.C2paError:
    pass
"""


@pytest.mark.parametrize("name", ["a.wav", "a.mp3"])
def test_a_manifest_on_the_network_is_never_fetched(
    command: Command, tmp_path: Path, listener: tuple[int, list[object]], name: str
) -> None:
    keys.make_key()
    port, came = listener
    plain, file = sound_file(tmp_path / f"plain-{name}"), tmp_path / name
    created = {"action": "c2pa.created", "digitalSourceType": f"{content_credentials.IPTC}digitalCapture"}
    manifest = {**MANIFEST, "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [created]}}]}
    kind, address = c2pa_files.media_type(file.with_name(plain.name)), f"http://127.0.0.1:{port}/a.c2pa"
    subprocess.run([sys.executable, "-c", _REMOTE, plain, file, address, kind], input=json.dumps(manifest).encode(),
                   check=True)  # fmt: skip
    check = read_credentials(file)
    assert check is not None and check.state == "remote" and "does not read" in check.sentence
    if name == "a.wav":
        assert command("verify", file)[0] == 1, "it has no record"
    code, answer, err = command("separate", file, "--stem", "one=x", "--model", "noop", "-o", tmp_path / "out")
    assert code == 0, err
    stem = read_credentials(Path(answer["results"][0]["stems"][0]["path"]))
    assert stem is not None and stem.state == "trusted"
    assert came == []
    subprocess.run([sys.executable, "-c", _READ_WITH_DEFAULTS, file, kind], check=True, capture_output=True)
    deadline = time.monotonic() + 10
    while not came and time.monotonic() < deadline:
        time.sleep(0.05)
    assert came, "the library's own settings do connect, so the port would have seen it"


def test_hostile_manifests_and_sidecars_get_one_sentence(command: Command, tmp_path: Path) -> None:
    keys.make_key()
    file = sound_file(tmp_path / "a.wav")
    write_credentials(file, MANIFEST, [ingredient(tmp_path / "x.wav")])
    signed = file.read_bytes()
    with file.open("rb") as stream:
        chunk = next(chunk for chunk in chunks(stream) if chunk.name == b"C2PA")
    generator = np.random.default_rng(0)
    for number in range(30):
        content = bytearray(signed)
        if number % 3 == 0:
            content = content[: chunk.offset + int(generator.integers(0, chunk.size))]
        elif number % 3 == 1:
            content[chunk.offset + int(generator.integers(0, chunk.size // 2))] ^= 1 << int(generator.integers(0, 8))
        else:
            content[chunk.offset : chunk.offset + chunk.size] = generator.bytes(chunk.size)
        file.write_bytes(content)
        check = read_credentials(file)
        assert check is None or check.state in ("invalid", "unreadable"), number
        assert check is None or check.sentence.count("\n") == 0
    other = sound_file(tmp_path / "b.ogg")
    for beside in (b"", b"\0" * 100, generator.bytes(5000), signed[chunk.offset : chunk.offset + 500]):
        other.with_suffix(".c2pa").write_bytes(beside)
        check = read_credentials(other)
        assert check is not None and check.state in ("invalid", "unreadable")
    with other.with_suffix(".c2pa").open("wb") as stream:
        stream.truncate(c2pa_files.SIDECAR_BYTES + 1)
    check = read_credentials(other)
    assert check is not None and "larger than any manifest" in check.sentence
    file.write_bytes(signed)
    check = read_credentials(file)
    assert check is not None and check.state == "trusted", "the process goes on after all of them"


_SIGN = """
import json, sys
from pathlib import Path
from stemline.trust.content_credentials import write_credentials
sys.stdout.write("go\\n"); sys.stdout.flush()
for line in sys.stdin:
    write_credentials(Path(sys.argv[1]), json.loads(sys.argv[2]), [json.loads(sys.argv[3])])
"""


@pytest.mark.parametrize("kills", [8, pytest.param(100, marks=pytest.mark.hour)])
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_leaves_the_unsigned_or_the_signed_file(tmp_path: Path, kills: int) -> None:
    keys.make_key()
    plain = sound_file(tmp_path / "plain.wav").read_bytes()
    file = tmp_path / "a.wav"
    described = json.dumps(ingredient(tmp_path / "x.wav"))
    signed = 0
    for number in range(kills):
        file.write_bytes(plain)
        with subprocess.Popen(
            [sys.executable, "-c", _SIGN, file, json.dumps(MANIFEST), described],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as process:  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            process.stdout.readline()
            process.stdin.write(b"\n" * 3)
            process.stdin.flush()
            time.sleep(0.9 * number / kills)
            process.send_signal(signal.SIGKILL)
            process.stdin.close()
        content = file.read_bytes()
        assert content == plain or (len(content) > len(plain) and content[12:2000] == plain[12:2000])
        if content != plain:
            check = read_credentials(file)
            assert check is not None and check.state == "trusted"
            signed += 1
    assert kills < 100 or 0 < signed < kills


def test_the_child_has_a_memory_limit(tmp_path: Path) -> None:
    keys.make_key()
    file = sound_file(tmp_path / "a.wav")
    write_credentials(file, MANIFEST, [ingredient(tmp_path / "x.wav")])
    process = content_credentials._worker._process
    assert process is not None
    limits = Path(f"/proc/{process.pid}/limits")
    if not limits.exists():
        pytest.skip("no /proc here")
    (limit,) = re.findall(r"Max address space +(\d+)", limits.read_text())
    assert int(limit) == 3 << 30
