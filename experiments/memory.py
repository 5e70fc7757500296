"""Peak memory of a part's process, as Linux counts it; None on other systems."""

import ctypes
from pathlib import Path


def reset_peak() -> float | None:
    """Begin to count the peak anew; the megabytes (10^6 bytes) that the process holds now."""
    try:
        # what earlier parts have freed goes back to the system first, where the C library can
        if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
            trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, TypeError):  # another system, or not allowed
        return None
    return peak()


def peak() -> float | None:
    """Peak resident memory of this process in megabytes since it was reset."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
