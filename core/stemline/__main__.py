"""Run the command line: `python -m stemline`."""

import sys

from stemline_app.cli import main

sys.exit(main())
