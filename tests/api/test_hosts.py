"""Hosts that other packages announce, and the host in memory that they are tested with."""

from __future__ import annotations

import doctest
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

import stemline
import stemline.testing
from stemline.hosts import (
    Delivered,
    DeliveryRequest,
    EditOptions,
    HostDescription,
    Installed,
    OpenRequest,
    TimeRange,
    registry,
)
from stemline.hosts.description import Check, Status
from stemline.hosts.registry import host_list
from stemline.testing import MemoryHost, clip
from stemline_app.cli import main
from stemline_app.doctor import host_checks

Announce = Callable[..., None]
ADVICE = "In Kdenlive 25.04 or later, export the project as OpenTimelineIO."


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Adds entry points to those of this environment."""

    def add(**values: str) -> None:
        own = list(entry_points(group=registry.GROUP))
        more = [EntryPoint(name, value, registry.GROUP) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda group: [*own, *more])
        host_list.cache_clear()

    yield add
    host_list.cache_clear()


class CutFiles:
    """Reads a `.cut` file: one media path a line."""

    def check(self, options: EditOptions, sample_format: str | None) -> None:
        pass

    def open_edit(self, request: OpenRequest) -> MemoryHost:
        return MemoryHost([clip(line) for line in request.edit.read_text().splitlines()])

    def deliver(self, request: DeliveryRequest) -> Delivered:
        raise AssertionError("nothing was asked for")


FILES = CutFiles()
CUT = HostDescription(
    "cut",
    "Cut",
    reads=(".cut",),
    refuses={".cutbin": "In Cutter, choose File > Export > Text."},
    edit_files=f"{__name__}:FILES",
    checks=(f"{__name__}:broken",),
)
OTHER_NAME = HostDescription("other", "Other")
INSTALLABLE = HostDescription("toy", "Toy", installer=f"{__name__}:Toy", dialects={"toy": f"{__name__}:FILES"})


class Toy:
    """An installer."""

    @staticmethod
    def install() -> Installed:
        return Installed(("Toy is installed.",))


def broken() -> list[Check]:
    raise RuntimeError("no such device")


def test_an_edit_host_of_another_package_is_used_by_suffix(project: Path, announce: Announce) -> None:
    announce(cut=f"{__name__}:CUT")
    (project / "reel.cut").write_text("interview.wav\n")
    result = stemline.separate_edit("reel.cut", {"dialogue": "speech"}, output="out")
    assert result.tracks == ("dialogue A1", "residual A1")
    with stemline.start("reel.cut", {"dialogue": "speech"}, output="out") as run:
        assert isinstance(run.result(), stemline.EditResult)


def test_an_edit_that_a_host_of_another_package_refuses_gets_its_advice(project: Path, announce: Announce) -> None:
    announce(cut=f"{__name__}:CUT")
    (project / "reel.cutbin").write_text("interview.wav\n")
    with pytest.raises(stemline.EditError, match="choose File > Export > Text"):
        stemline.separate_edit("reel.cutbin", {"dialogue": "speech"}, output="out")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package:HOST", "ModuleNotFoundError"),
        (f"{__name__}:NO_SUCH", "AttributeError"),
        (f"{__name__}:FILES", "not a HostDescription"),
        (f"{__name__}:OTHER_NAME", "must be the same"),
    ],
)
def test_a_host_that_does_not_load_is_reported_and_breaks_nothing(
    project: Path, announce: Announce, value: str, reason: str
) -> None:
    announce(strange=value)
    found = [check for check in host_checks() if check.name == "host strange"]
    assert [check.status for check in found] == [Status.WARN]
    assert reason in found[0].message and found[0].advice
    assert stemline.separate_edit("edit.otio", "speech", output="out").tracks


def test_a_check_that_fails_is_a_finding_of_its_own(announce: Announce) -> None:
    announce(cut=f"{__name__}:CUT")
    (found,) = [check for check in host_checks() if check.name == "host cut"]
    assert "no such device" in found.message
    assert any(check.name == "edit formats" for check in host_checks())


def test_a_host_cannot_take_the_name_of_another(announce: Announce) -> None:
    announce(otio=f"{__name__}:OTHER_NAME")
    assert ".otio" in host_list().read_suffixes
    assert [name for name in host_list().broken if name.startswith("otio")]


def test_commands_offer_what_hosts_announce(announce: Announce, capsys: pytest.CaptureFixture[str]) -> None:
    announce(toy=f"{__name__}:INSTALLABLE")
    assert main(["install", "toy"]) == 0
    assert "Toy is installed." in capsys.readouterr().out
    for command, words in (
        ("install", {"resolve", "blender", "toy"}),
        ("batch", {"generic", "resolve", "toy", ".aaf"}),
    ):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out
        assert all(word in text for word in words), command


def test_the_list_is_read_once_a_process(announce: Announce, monkeypatch: pytest.MonkeyPatch) -> None:
    announce()
    calls: list[str] = []

    def counted(group: str) -> list[EntryPoint]:
        calls.append(group)
        return list(entry_points(group=group))

    monkeypatch.setattr(registry, "entry_points", counted)
    for _ in range(3):
        assert host_list().hosts
    assert len(calls) == 1


def test_the_list_of_hosts_loads_no_code_of_a_host() -> None:
    code = (
        "import json, sys; from stemline.hosts.registry import host_list; host_list(); "
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {module.partition(".")[0] for module in json.loads(done.stdout)}
    assert "stemline_otio" in loaded
    assert loaded.isdisjoint({"opentimelineio", "bpy", "PyQt5", "stemline_blender", "stemline_panel", "numpy", "torch"})


@pytest.mark.parametrize("command", ["separate", "batch"])
def test_an_edit_that_cannot_be_read_gets_one_sentence_everywhere(
    project: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    documents = pytest.importorskip("stemline_panel.documents")
    (project / "film.kdenlive").write_text("<mlt><producer/></mlt>")
    assert main([command, "film.kdenlive", "--stem", "a=speech", "-o", "out"]) == 2
    said = capsys.readouterr().err
    with pytest.raises(stemline.EditError) as refused:
        documents.open_document([project / "film.kdenlive"]).read()
    assert said == f"stemline: {refused.value}\n"
    assert said.endswith(f"{ADVICE}\n")


def test_an_edit_given_as_media_is_told_apart(project: Path) -> None:
    with pytest.raises(stemline.MediaError, match="is an edit"):
        stemline.separate("edit.otio", "speech", output="out")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "My Host"}, {"reads": (".OTIO",)}, {"reads": (".cut",), "edit_files": ""},
        {"installer": "package/module"}, {"refuses": {"cut": "x"}},
    ],
)  # fmt: skip
def test_a_description_with_a_slip_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        HostDescription(**({"name": "cut", "title": "Cut", "edit_files": "a:b"} | wrong))  # type: ignore[arg-type]


def test_the_host_in_memory_gives_and_takes_back(project: Path) -> None:
    host = MemoryHost([clip("interview.wav", start=0.5, end=1.5, at=3), clip("interview.wav", track="A2")])
    options = stemline.EditOptions(tracks=("A1",), handle_s=0)
    result = stemline.separate_edit(host, {"dialogue": "speech"}, output="out", options=options)
    assert [track.name for track in host.tracks] == list(result.tracks) == ["dialogue A1", "residual A1"]
    (placed,) = host.tracks[0].clips
    assert placed.record_range == TimeRange(Fraction(3), Fraction(4))
    assert len(host.disabled) == 1
    assert host.remove_result("result-1") == ()
    assert (host.tracks, host.disabled) == ((), set())


def test_the_examples_for_tests_run(project: Path) -> None:
    assert doctest.testmod(stemline.testing).failed == 0
    assert doctest.testmod(stemline.testing).attempted > 3
