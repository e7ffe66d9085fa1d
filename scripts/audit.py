"""Check the pinned dependencies against the database of known vulnerabilities; skip it without a network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "constraints.txt"


def main() -> int:
    """Print what is known, and return 1 where a pin is vulnerable."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINS), "--no-deps", "--disable-pip"]
    done = subprocess.run([*command, "--format", "json"], check=False, capture_output=True, text=True)
    try:
        pins = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print("Not audited: the database of vulnerabilities does not answer from here.")
        return 0
    unknown = [pin["name"] for pin in pins if "skip_reason" in pin]
    vulnerable = [pin for pin in pins if pin.get("vulns")]
    if len(unknown) == len(pins):
        print("Not audited: the database of vulnerabilities knows no pin from here.")
        return 0
    print(f"{len(pins) - len(unknown)} pins audited, {len(unknown)} not known to the database.")
    for pin in vulnerable:
        print(f"{pin['name']} {pin['version']}: {', '.join(found['id'] for found in pin['vulns'])}")
    return 1 if vulnerable else 0


if __name__ == "__main__":
    sys.exit(main())
