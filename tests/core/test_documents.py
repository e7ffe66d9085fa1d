"""Pages that must agree with the code."""

from __future__ import annotations

import subprocess
import sys

import grpc

from conftest import ROOT
from stemline.error_table import ERRORS, WARNINGS, error_for
from stemline.errors import Cancelled, Code, WarningCode
from stemline_app.cli.main import COMMANDS
from stemline_server.services.status import status_code


def test_every_code_is_in_the_table_once() -> None:
    assert sorted(row.code for row in ERRORS) == sorted(Code)
    assert sorted(WARNINGS) == sorted(WarningCode)
    assert {row.status for row in ERRORS} <= {status.name for status in grpc.StatusCode}


def test_a_server_and_a_client_agree_about_every_code() -> None:
    for row in ERRORS:
        sent = row.kind("It failed.", code=row.code) if row.kind is not Cancelled else Cancelled("It failed.")
        assert status_code(sent).name == row.status
        received = error_for(sent.code.value, sent.message)
        assert (type(received), received.code, received.exit_code) == (row.kind, row.code, row.kind.exit_code)


def test_the_page_of_errors_is_generated_from_the_table() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "errors_page.py"), "--check"]
    assert subprocess.run(command, check=False).returncode == 0, "run python scripts/errors_page.py"


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    typed = [name for name in COMMANDS if name != "host"]  # scripts of hosts start that one
    assert [name for name in typed if f"stemline {name}" not in readme] == []
