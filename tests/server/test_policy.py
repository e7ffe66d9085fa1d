"""A policy that lets a job through, leaves sound of a denied one, or a log whose lines can be changed unseen."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import stemline
from stemline.errors import Code, OutputError, UsageError
from stemline.media import AudioFormat, SampleFormat, open_writer
from stemline.trust.audit_log import AuditLog, check_log, hashed_words, log_files
from stemline.v1 import separation_pb2 as pb
from stemline_app.cli import main
from stemline_server.jobs.gate import Gate
from stemline_server.jobs.record import NewJob
from stemline_server.jobs.specs import JobKeys
from stemline_server.policy.rules import AuditSettings, JobFacts, Policy, read_policy
from stemline_server.seats.seat_file import OPERATOR

RULES = """
default = "allow"

[audit]
path = "log/audit.jsonl"
words = "hash"

[[rule]]
who = ["token:edit-room-1", "cn:*.studio.lan"]
models = ["embedded", "sam_audio*"]
allow = true

[[rule]]
words = ["*voice of*", "*'s voice*"]
needs = "reason"

[[rule]]
words = ["*whisper*"]
allow = false
message = "Ask the sound supervisor."

[[rule]]
models = ["noop"]
spans = false
"""


def facts(words: str, *, who: str = "token:local", model: str = "noop", reason: str = "") -> JobFacts:
    return JobFacts((who,), "separate", model, words, reason=reason)


def test_the_first_rule_that_applies_decides(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(RULES, encoding="utf-8")
    policy = read_policy(tmp_path / "policy.toml")
    assert policy.objection(facts("dog")) == ""
    assert policy.objection(facts("A WHISPER")) == "Ask the sound supervisor."
    assert policy.objection(facts("wh\u00edsper")) == "Ask the sound supervisor.", "accents do not matter"
    assert policy.objection(facts("whis\u200bper")) == "Ask the sound supervisor.", "nor do spaces without width"
    assert "reason" in policy.objection(facts("Anna\u2019s  voice"))
    assert policy.objection(facts("Anna's voice", reason="ADR of scene 12")) == ""
    assert policy.objection(facts("whisper", who="token:edit-room-1", model="embedded")) == ""
    assert policy.objection(facts("whisper", who="cn:a.studio.lan", model="sam_audio.large")) == ""
    assert policy.objection(facts("whisper", who="cn:a.studio.lan.evil", model="embedded")) != ""
    assert "in words" in policy.objection(facts(""))
    assert policy.objection(facts("", model="embedded")) == ""
    (tmp_path / "deny.toml").write_text('default = "deny"\n[[rule]]\nwords = ["speech"]\n', encoding="utf-8")
    policy = read_policy(tmp_path / "deny.toml")
    assert (policy.objection(facts("speech")), bool(policy.objection(facts("dog")))) == ("", True)


@pytest.mark.parametrize(
    "text",
    [
        "default = 1", "[[rule]]\nallowed = true", "[[rule]]\nwords = 'x'", "[[rule]]\nwords = [1]",
        "[rule]\nallow = true",
        "[[rule]]\nneeds = 'luck'", "[[rule]]\nspans = false\nwords = ['x']", "[[rule]]\nallow = 'yes'", "[audit]",
        "[audit]\npath = 'a'\nwords = 'some'", "[audit]\npath = 'a'\nkeep_days = 0", "not toml", "\udce9", "extra = 1",
        "a = " + "[" * 5000, "#" * (1 << 21),
    ],
)  # fmt: skip
def test_a_policy_that_is_wrong_is_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "policy.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match="The policy"):
        read_policy(tmp_path / "policy.toml")
    with pytest.raises(UsageError, match="cannot be read"):
        read_policy(tmp_path / "none.toml")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """A real server with RULES; its state is in `state`."""
    (tmp_path / "policy.toml").write_text(RULES, encoding="utf-8")
    command = [sys.executable, "-m", "stemline_server", "--listen", "127.0.0.1:0", "--state", str(tmp_path / "state"),
               "--device", "cpu", "--policy", str(tmp_path / "policy.toml")]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    address, token = line.split(" listens on ")[1].split("; token in ")
    monkeypatch.setenv("STEMLINE_SERVER", address)
    monkeypatch.setenv("STEMLINE_TOKEN_FILE", token.strip())
    yield process
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    process.stderr.close()


def media(path: Path, seconds: int = 1) -> Path:
    with open_writer(path, AudioFormat(SampleFormat.WAV24, 48_000, 1)) as writer:
        writer.write(np.random.default_rng(5).normal(0, 0.1, (1, seconds * 48_000)).astype(np.float32))
    return path


def sounds(state: Path) -> list[Path]:
    """Return the files of the state that can hold a second of sound."""
    return [
        path
        for path in state.rglob("*")
        if path.is_file() and path.stat().st_size > 90_000 and ".sqlite" not in path.name
    ]


def test_a_denied_job_leaves_nothing_and_an_allowed_one_is_logged(server: object, tmp_path: Path) -> None:
    file, out, state = media(tmp_path / "in.wav"), tmp_path / "out", tmp_path / "state"
    noop = stemline.Settings(model="noop")
    with pytest.raises(stemline.StemlineError) as denied:
        stemline.separate(file, {"one": "a whisper"}, output=out, settings=noop)
    assert denied.value.code == Code.POLICY_DENIED and "Ask the sound supervisor." in denied.value.message
    assert sounds(state) == [], "the sound that was uploaded for it is gone"
    assert not list(out.rglob("*.wav"))
    with pytest.raises(stemline.StemlineError, match="asks for a reason"):
        stemline.separate(file, {"one": "the voice of Anna"}, output=out, settings=noop)
    result = stemline.separate(
        file, {"one": "the voice of Anna"}, output=out, settings=stemline.Settings(model="noop", reason="ADR, scene 12")
    )
    record = stemline.verify(result.paths["one"]).record
    assert record is not None and record.extra["reason"] == "ADR, scene 12"
    (log,) = log_files(tmp_path / "log" / "audit.jsonl")
    lines = [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]
    assert [line["event"] for line in lines] == ["denied", "denied", "accepted", "done", "fetched"]
    accepted, done, fetched = lines[2:]
    assert accepted["reason"] == "ADR, scene 12" and accepted["words"].startswith("hmac-sha256:")
    assert (accepted["who"], done["job"]) == ("local", accepted["job"]) and accepted["media"].startswith("media/")
    assert accepted["client"] and fetched["media"] != accepted["media"]
    assert (accepted["origin_sample"], accepted["end_sample"]) == (0, 48_000)
    long = media(tmp_path / "long.wav", seconds=20)
    stemline.separate(long, {"one": "dog"}, output=tmp_path / "part", settings=noop, range=(9, 10))
    part = next(line for line in lines_of(tmp_path) if line["event"] == "accepted" and line["job"] != accepted["job"])
    assert 0 < part["origin_sample"] <= 9 * 48_000 < 10 * 48_000 <= part["end_sample"] < 20 * 48_000
    assert "Anna" not in log.read_text() and log.stat().st_mode & 0o077 == 0
    assert check_log([tmp_path / "log" / "audit.jsonl"]).faults == ()


def lines_of(folder: Path) -> list[dict[str, Any]]:
    (log,) = log_files(folder / "log" / "audit.jsonl")
    return [json.loads(line) for line in log.read_text(encoding="ascii").splitlines()]


def test_suggestions_pass_the_same_rules_and_are_logged(server: subprocess.Popen[str], tmp_path: Path) -> None:
    file, policy = media(tmp_path / "in.wav"), tmp_path / "policy.toml"
    stemline.suggest(file)
    assert lines_of(tmp_path)[-1]["event"] == "suggested" and lines_of(tmp_path)[-1]["end_sample"] == 48_000
    for rules in ('default = "deny"\n', '[[rule]]\nmodels = ["*"]\nallow = false\n'):
        reload(server, policy, rules + '[audit]\npath = "log/audit.jsonl"\n')
        with pytest.raises(stemline.StemlineError) as denied:
            stemline.suggest(file)
        assert denied.value.code == Code.POLICY_DENIED
        with pytest.raises(stemline.StemlineError) as denied:
            stemline.find_voices(file, {"Anna": [stemline.Span(0, 0.5)]})
        assert denied.value.code == Code.POLICY_DENIED
        assert lines_of(tmp_path)[-1]["event"] == "denied"
        assert sounds(tmp_path / "state") == []
    reload(server, policy, '[[rule]]\nneeds = "reason"\n[audit]\npath = "log/audit.jsonl"\n')
    stemline.suggest(file)


def reload(server: subprocess.Popen[str], policy: Path, text: str) -> str:
    """Write the policy, have the server read it, and return the line that it logs about it."""
    log = policy.with_name("state") / "server.log"

    def lines() -> list[str]:
        return [line for line in log.read_text(encoding="utf-8").splitlines() if "the policy" in line]

    before = len(lines())
    policy.write_text(text, encoding="utf-8")
    server.send_signal(signal.SIGHUP)
    deadline_s = time.monotonic() + 30
    while len(lines()) == before:
        assert time.monotonic() < deadline_s and server.poll() is None
        time.sleep(0.05)
    return lines()[-1]


def test_a_changed_policy_holds_after_sighup_and_a_damaged_one_changes_nothing(
    server: subprocess.Popen[str], tmp_path: Path
) -> None:
    file, policy, noop = media(tmp_path / "in.wav"), tmp_path / "policy.toml", stemline.Settings(model="noop")
    stemline.separate(file, {"one": "dog"}, output=tmp_path / "a", settings=noop)
    strict = RULES.replace('"*whisper*"', '"*whisper*", "*dog*"')
    assert "restart" not in reload(server, policy, strict)
    with pytest.raises(stemline.StemlineError, match="Ask the sound supervisor"):
        stemline.separate(file, {"one": "dog"}, output=tmp_path / "b", settings=noop)
    assert "stays as it was" in reload(server, policy, "default = 'perhaps'")
    with pytest.raises(stemline.StemlineError, match="Ask the sound supervisor"):
        stemline.separate(file, {"one": "dog"}, output=tmp_path / "b", settings=noop)
    assert "restart for its table audit" in reload(server, policy, 'default = "allow"\n')
    stemline.separate(file, {"one": "dog"}, output=tmp_path / "b", settings=noop)
    assert check_log([tmp_path / "log" / "audit.jsonl"]).faults == ()
    assert lines_of(tmp_path)[-1]["event"] == "fetched", "the log goes on until the restart"


def test_every_changed_and_missing_line_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit.jsonl"
    log = AuditLog(path, keep_days=30)
    for number in range(40):
        log.write([{"event": "accepted", "number": number}])
    (file,) = log_files(path)
    whole, lines = file.read_bytes(), file.read_bytes().splitlines(keepends=True)
    report = check_log([path])
    assert (report.lines, report.faults, report.starts_after) == (40, (), "")
    chance = random.Random(1)
    for _ in range(200):
        changed = bytearray(whole)
        place = chance.randrange(len(whole) - len(lines[-1]))  # a change of the last line shows in its hash alone
        changed[place] ^= 1 << chance.randrange(7)
        file.write_bytes(changed)
        assert check_log([path]).faults, place
    for missing in range(1, 39):
        file.write_bytes(b"".join(lines[:missing] + lines[missing + 1 :]))
        assert check_log([file]).faults
    file.write_bytes(b"".join(lines[:20]))
    assert check_log([file]).faults == () and check_log([file]).last_hash != report.last_hash, (
        "a cut end changes the hash"
    )
    assert main(["audit", "check", str(path)]) == 0
    assert "last hash" in capsys.readouterr().out
    file.write_bytes(b"".join(lines[:3] + lines[5:]))
    assert main(["audit", "check", str(path), "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["results"][0]["whole"]
    assert main(["audit", "check", str(tmp_path / "none.jsonl")]) == 2
    for hostile in (
        b"\0" * 5000,
        b"{" * 100_000,
        b'{"before": 5}\n',
        b"[]\n",
        b'{"before":"' + b"x" * (2 << 20) + b'"}\n',
    ):
        file.write_bytes(whole + hostile)
        assert check_log([file]).faults


def test_a_torn_last_line_is_repaired_and_named(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path, keep_days=30).write([{"event": "accepted"}, {"event": "done"}])
    (file,) = log_files(path)
    whole = file.read_bytes()
    for cut in (1, 30, len(whole.splitlines()[1])):
        file.write_bytes(whole[:-cut])
        AuditLog(path, keep_days=30).write([{"event": "accepted"}])
        events = [json.loads(line)["event"] for line in file.read_bytes().splitlines()]
        assert events[-2:] == ["repaired", "accepted"] and check_log([path]).faults == ()


_WRITER = """
import sys
from pathlib import Path
from stemline.trust.audit_log import AuditLog
log = AuditLog(Path(sys.argv[1]), keep_days=30)
number = 0
while True:
    log.write([{"event": "accepted", "number": number}, {"event": "done", "number": number}])
    number += 1
    sys.stdout.write("x"); sys.stdout.flush()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_log_is_whole_after_kills(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    written = 0
    for number in range(6):
        with subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(3 + number)
            time.sleep(0.01 * number)
            process.kill()
            written += 3 + number
    report = check_log([path])
    assert report.faults == () and report.lines >= 2 * written


def test_months_are_kept_as_long_as_the_policy_says(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    AuditLog(path, keep_days=30).write([{"event": "accepted"}])
    (file,) = log_files(path)
    old = tmp_path / "audit.2001-02.jsonl"
    file.rename(old)
    log = AuditLog(path, keep_days=20_000)
    log.write([{"event": "done"}])
    assert check_log([path]).lines == 2, "the chain goes on from month to month"
    AuditLog(path, keep_days=365)
    assert not old.exists() and check_log([path]).starts_after and check_log([path]).faults == ()


def test_the_key_of_hashed_words_is_private_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    key = tmp_path / "audit.key"
    assert (
        hashed_words("speech", "hash", key) == hashed_words("speech", "hash", key) != hashed_words("dog", "hash", key)
    )
    assert key.stat().st_mode & 0o077 == 0 or os.name != "posix"
    assert (hashed_words("speech", "full", key), hashed_words("speech", "omit", key)) == ("speech", "")
    key.write_text("not hexadecimal")
    with pytest.raises(OutputError, match="key of the log"):
        hashed_words("speech", "hash", key)


class SlowLog:
    """A log on a disk that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.written: list[dict[str, object]] = []

    def write(self, entries: list[dict[str, object]]) -> None:
        assert self.answer.wait(30)
        self.written += entries


def new_job(words: str, media: str) -> NewJob:
    spec = pb.SeparationSpec(media=media, prompt=pb.Prompt(text=words))
    return NewJob(
        request_id=words, batch_id="", priority=0, spec=spec, keys=JobKeys(key=words, group=words), model="noop",
        revision="1", kind=pb.JOB_KIND_SEPARATE, seat=OPERATOR, audio_s=1.0, length_samples=48_000,
    )  # fmt: skip


def ended_job(name: str) -> Any:
    """Return what the gate reads of a job that has ended."""
    values = {"kind": pb.JOB_KIND_SEPARATE, "state": pb.STATE_SUCCEEDED, "owned_by": "local", "model": "noop"}
    return SimpleNamespace(name=name, **values)


def test_a_full_log_does_not_fail_a_job_that_is_stored_or_finished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(Policy(audit=AuditSettings(tmp_path / "log" / "audit.jsonl")), tmp_path)
    AuditLog(tmp_path / "log" / "audit.jsonl", keep_days=1).write([{"event": "accepted"}])
    (file,) = log_files(tmp_path / "log" / "audit.jsonl")
    file.unlink()
    file.mkdir()  # nothing can be written there
    job: Any = SimpleNamespace(
        kind=pb.JOB_KIND_SEPARATE, state=pb.STATE_SUCCEEDED, owned_by="local", name="jobs/1", model="noop"
    )
    gate.accepted([new_job("dog", "media/1")], [job])
    gate.ended([job])
    gate.close()
    assert caplog.text.count("missing in the audit log") == 2


def test_a_slow_disk_of_the_log_does_not_stop_the_job_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = SlowLog()
    monkeypatch.setattr("stemline_server.jobs.gate.AuditLog", lambda *_, **__: log)
    gate = Gate(Policy(audit=AuditSettings(tmp_path / "audit.jsonl")), tmp_path)
    for number in range(3):
        job: Any = SimpleNamespace(
            kind=pb.JOB_KIND_SEPARATE, state=pb.STATE_SUCCEEDED, owned_by="local", name=f"jobs/{number}", model="noop"
        )
        gate.ended([job])
    assert log.written == []
    log.answer.set()
    gate.close()
    assert [entry["job"] for entry in log.written] == ["jobs/0", "jobs/1", "jobs/2"], "and the order stays"


def test_a_denied_job_takes_the_sound_of_no_other_job_of_the_call(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text(RULES, encoding="utf-8")
    gate = Gate(read_policy(tmp_path / "policy.toml"), tmp_path)
    forgotten: list[str] = []

    async def forget(name: str) -> None:
        forgotten.append(name)

    jobs = [new_job("dog", "media/1"), new_job("a whisper", "media/2"), new_job("rain", "media/3")]
    jobs.append(new_job("whispers", "media/4"))
    with pytest.raises(UsageError, match="sound supervisor"):
        asyncio.run(gate.check(jobs, forget))
    gate.close()
    assert sorted(forgotten) == ["media/2", "media/4"]
