"""What the figures were measured on, and the settings that are the same for every contender."""

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import processor
import rewire
import timing

# Freed pages stay with the process: without these the published step takes twice as long, and the
# difference would be the allocator's. The numbers are what the program `rewire` sets for itself, but
# for the threshold, which no step of any contender reaches.
MALLOC = (
    "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=68719476736:glibc.malloc.top_pad=67108864"
)


def restart_tuned(threads: int) -> None:
    """Start this program anew with malloc tuned and as many threads in every library, unless it runs
    so: malloc reads its settings once, and a peer may bring an OpenMP runtime of its own."""
    tuned = os.environ | {
        "GLIBC_TUNABLES": MALLOC,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # No complaints of the profiler that there is no GPU, and that memory is freed in its time.
        "KINETO_LOG_LEVEL": "5",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if tuned != os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], tuned)


def plain_executor() -> None:
    """As in the program: specialising TorchScript for shapes costs these models more than it gives."""
    torch._C._jit_set_profiling_mode(False)
    torch._C._jit_set_texpr_fuser_enabled(False)


def describe() -> dict[str, object]:
    """The machine object of bench.json."""
    return {
        "cpu": processor.name(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "cores_used_by_others": _cores_used_by_others(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "sgemm_gflops": _sgemm_gflops(),
        "copy_gb_per_second": _copy_bandwidth(),
        "read_gb_per_second": _read_bandwidth(),
        "malloc": os.environ.get("GLIBC_TUNABLES"),
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    } | _gpu() | versions()


def _gpu() -> dict[str, object]:
    """The device that is measured where it is a GPU; sgemm and copy above are then of it."""
    if torch.get_default_device().type != "cuda":
        return {}
    return {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda}


def versions() -> dict[str, object]:
    """Versions of ours and of whatever is a peer; None for what is not installed."""
    config = torch.__config__.show()
    return {
        "rewire": rewire.__version__,
        "commit": _commit(),
        "torch": torch.__version__,
        "mkl": _found(r"Math Kernel Library Version (\S+)", config),
        "onednn": _found(r"MKL-DNN v(\S+)", config),
        "scipy": _module_version("scipy"),
        "sparselab": _module_version("sparselab"),
        "torchvision": _module_version("torchvision"),
        "pillow": _module_version("PIL"),
        "python": platform.python_version(),
        "libc": " ".join(platform.libc_ver()),
    }


def _module_version(name: str) -> str | None:
    try:
        return __import__(name).__version__
    except ImportError:
        return None


def _found(pattern: str, text: str) -> str | None:
    match = re.search(pattern, text)
    return match.group(1) if match else None


def _cores_used_by_others(seconds: float = 1) -> float:
    """How many cores work while this process sleeps."""

    def idle_seconds() -> float:  # of all cores; /proc/stat counts in clock ticks
        idle, waiting = Path("/proc/stat").read_text().split()[4:6]
        return (int(idle) + int(waiting)) / os.sysconf("SC_CLK_TCK")

    before, start = idle_seconds(), time.perf_counter()
    time.sleep(seconds)
    idle = (idle_seconds() - before) / (time.perf_counter() - start)
    return max(0.0, os.cpu_count() - idle)


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _best_seconds(call: Callable[[], object]) -> float:
    """The fastest of the rounds: a peak is what the machine can do, not what it mostly does."""
    return min(timing.interleave({"": call}, seconds=1)[""].seconds)


def _sgemm_gflops(size: int = 3072) -> float:
    """A product of matrices that fill the caches: the nearest to the peak of its FMA units that a
    library gets."""
    a, b, out = torch.rand(size, size), torch.rand(size, size), torch.empty(size, size)
    return 2 * size**3 / _best_seconds(lambda: torch.mm(a, b, out=out)) / 1e9


def _beyond_caches() -> torch.Tensor:
    """Floats of twice the size of the last cache, between 256 MB and 1 GB."""
    sizes = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")  # "32768K"
    largest = max((int(size.read_text().strip().rstrip("K")) << 10 for size in sizes), default=0)
    return torch.rand(min(max(256 << 20, 2 * largest), 1 << 30) // 4)


def _copy_bandwidth() -> float:
    """Bytes read and bytes written."""
    source = _beyond_caches()
    target = torch.empty_like(source)
    return 2 * 4 * source.numel() / _best_seconds(lambda: target.copy_(source)) / 1e9


def _read_bandwidth() -> float:
    source = _beyond_caches()
    return 4 * source.numel() / _best_seconds(source.sum) / 1e9
