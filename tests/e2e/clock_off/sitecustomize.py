"""Puts a Python process's own clock off by CLOCK_OFF seconds; files get and show the kernel's time, as they would from a server.

faketime cannot do that to a local store: it also turns "now" into its own time where a file's times are set.
"""

from __future__ import annotations

import os
import time

_real, _off = time.time, float(os.environ["CLOCK_OFF"])
time.time = lambda: _real() + _off
