"""What the processor calls itself."""

import platform
import re
from pathlib import Path


def name() -> str:
    """Its name, or at least its kind."""
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found.group(1) if found else platform.processor() or platform.machine()
