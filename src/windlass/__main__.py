"""`python -m windlass`."""

import sys

from windlass.surfaces.cli import main

sys.exit(main())
