"""The weights of the extras `suggest` and `voices` from STEMLINE_TEST_TAGGERS, where they are not installed."""

from __future__ import annotations

import os
import sys

if folder := os.environ.get("STEMLINE_TEST_TAGGERS"):
    sys.path.append(folder)
