"""Memory of a call, as torch's allocator sees it; scratch space inside libraries is not seen."""

from collections.abc import Callable
from itertools import accumulate

import torch
from torch.autograd.profiler import profile


def peak_mb(call: Callable[[], object]) -> float:
    """The most that one call holds beyond what was held before it, in MB (10^6 bytes)."""
    if torch.get_default_device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    with profile(profile_memory=True) as record:
        call()
    changes = [event for event in record.kineto_results.events() if event.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in changes), initial=0)) / 1e6
