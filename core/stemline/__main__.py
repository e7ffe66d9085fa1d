"""`python -m stemline`"""

import sys

from stemline.cli import main

sys.exit(main())
