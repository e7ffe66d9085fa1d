"""Edits during a run, failures around it, and the panel's other buttons, in a real Blender."""

from __future__ import annotations

import os

import pytest

from hosts.blender.blenders import Runner, program_that
from hosts.blender.test_plain import done, exact

pytestmark = [pytest.mark.host, pytest.mark.slow]

_TOO_NEW = (
    "import sys; sys.stdin.readline(); "
    'print(\'{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"Stemline 9 speaks version 2 of the host '
    'protocol.","data":{"code":"HOST_VERSION","advice":"Update."}}}\', flush=True); sys.stdin.readline()'
)


def test_stems_follow_strips_that_were_moved_renamed_or_trimmed(blender: Runner, version: str) -> None:
    saw = blender.run("concurrent_edits.edited")
    done(saw)
    originals = sorted({stem["original"] for stem in saw["stems"]})
    assert originals == ["moved", "of another name", "still", "trimmed"]
    for name in ("moved", "renamed", "trimmed", "still"):
        exact(saw["nulls"][name], version == "3.4")
    said = " ".join(saw["end"]["messages"])
    assert "deleted was deleted" in said
    assert "moved was moved" in said
    assert "trimmed was moved or trimmed" in said
    assert all(stem["there"] for stem in saw["stems"])
    assert all(stem["path"].startswith("//../") for stem in saw["stems"]), "relative to the file's new place"
    assert saw["others"] == 0


def test_stems_are_never_written_into_another_file(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.another_file")
    assert saw["end"]["state"] == "failed"
    assert "Another file is open" in saw["end"]["messages"][0]
    assert saw["strips"] == []


def test_running_and_waiting_jobs_can_be_cancelled(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.cancelled")
    assert [end["state"] for end in saw["ends"]] == ["failed", "failed"]
    assert saw["between"] == [0, False], "nothing was written, nothing was muted"
    assert saw["last"]["state"] == "done"
    assert len(saw["listed"]) == 2


def test_stems_of_a_run_that_failed_or_was_cancelled_are_not_written_later(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.given_up")
    for end, stems in (saw["failed"], saw["given_up"], saw["cancelled"]):
        assert (end["state"], stems) == ("failed", 0), end
    assert saw["cancelled"][0]["messages"] == ["Cancelled."]
    end, stems = saw["last"]
    assert (end["state"], stems) == ("done", 2), end


def test_rendered_files_of_a_failed_run_are_deleted(blender: Runner, version: str) -> None:
    saw = blender.run("concurrent_edits.rendered_files")
    assert version == "3.4" or saw["begun"] == [True], "in 3.4 another process renders it"
    for kind in ("at once", "running", "no companion"):
        assert saw["there"][kind] == ["failed", [False]], kind
    assert saw["there"]["separated"] == ["failed", [True]], "there are stems of it"
    assert saw["there"]["done"] == ["done", [True]]


def test_a_full_list_drops_no_active_run(blender: Runner) -> None:
    listed = blender.run("concurrent_edits.many")
    going_on = ["0", "1", *(str(number) for number in range(3, 30, 3))]
    assert len(listed) == 20
    assert [title for title in listed if title in going_on] == going_on
    assert listed[-1] == "29", "the newest of those that have ended stay"


def test_a_stem_is_named_in_every_script(blender: Runner) -> None:
    asked = [("हिन्दी", ""), ("", "ภาษาไทย!"), ("", "தமிழ்"), ("", "dog, far-off (barking)"), ("", "?")]
    assert blender.run("concurrent_edits.names", asked=asked) == [
        "हिन्दी",
        "ภาษาไทย",
        "தமிழ்",
        "dog far-off barking",
        "stem",
    ]


def test_a_dead_companion_and_a_killed_server_do_not_stop_blender(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.broken", cache=os.environ["STEMLINE_CACHE"])
    assert saw["killed"]["state"] == "failed"
    assert "companion ended" in saw["killed"]["messages"][0]
    assert saw["state"][0] == "broken"
    assert saw["server"]["ended"]
    assert saw["muted"] == (saw["server"]["state"] == "done")
    assert saw["after"]["state"] == "done", saw["after"]


def test_a_missing_or_wrong_stemline_is_one_sentence_and_one_command(blender: Runner) -> None:
    dies = program_that(blender.folder, "import sys; sys.exit('No module named torch')")
    too_new = program_that(blender.folder, _TOO_NEW)
    saw = blender.run("concurrent_edits.missing", recorded=False, dies=dies, too_new=too_new)
    sentences = [one["sentence"] for one in saw["saw"]]
    assert all(one["end"] == "failed" and one["command"].endswith("stemline install blender") for one in saw["saw"])
    assert "not installed" in sentences[0]
    assert "/nowhere/stemline" in sentences[1]
    assert "No module named torch" in sentences[2]
    assert "version 2" in sentences[3]
    assert saw["stems"] == 0


def test_spans_comparison_and_removal_of_results(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.buttons")
    assert saw["empty"] == ["CANCELLED"]
    assert saw["spans"] == [["PLUS", 20, 45], ["MINUS", 60, 70]]
    assert saw["prompt"] == {"plus": [[19200, 67200]], "minus": [[96000, 115200]]}
    assert saw["ends"] == ["done", "done"]
    assert saw["sets"] == ["a name: original", "tone: original"]
    assert saw["heard"] == {
        "ORIGINAL": [False, True, True],
        "STEM": [True, False, True],
        "RESIDUAL": [True, True, False],
        "ALL": [True, False, False],
    }
    assert saw["selected"] == ["original residual", "original tone"]
    assert saw["second_mutes"] == {"a name": True, "residual": False}
    assert saw["still_muted"], "the other version still replaces it"
    assert not saw["muted_at_last"]
    assert saw["left"] == ["original"]
    assert saw["sounds"] == 1
    assert saw["names"] == [f"Channel {n}" for n in range(1, 8)]
    assert saw["words"] == ["1 strip, 00:00-00:04, mono, from voice.wav"]
    assert saw["suggested"][0] == "other"


def test_both_halves_of_a_cut_original_are_unmuted(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.cut")
    assert saw["ends"] == ["done", "done"]
    assert saw["halves"] == 16
    user = {"muted": True, "muted.001": True, "copy": False}
    assert saw["ORIGINAL"] == user | {"original": False, "renamed": False, "muted": False, "muted.001": False}
    assert saw["ALL"] == user | {"original": True, "renamed": True}, "a copy elsewhere replaces nothing"
    assert saw["first"] == saw["ALL"], "the other result still replaces them"
    assert saw["second"] == user | {"original": False, "renamed": False}
    assert saw["left"] == 0
    assert saw["carry"] == []


def test_results_of_an_earlier_version_are_found_by_name_until_they_are_played(blender: Runner) -> None:
    saw = blender.run("concurrent_edits.cut_in_an_earlier_file")
    assert saw["ORIGINAL"] == {"original": False}
    assert saw["ALL"] == {"original": True}
    assert saw["left"] == {"original": False, "original.001": False}
