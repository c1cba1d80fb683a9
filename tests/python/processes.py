"""Processes of one group of torch.distributed, each of which does a part of a test."""

import gc
import os

import torch
from torch import multiprocessing


def run(task, count, folder, *more):
    """Calls task(rank, name of the group, folder, *more) in `count` processes."""
    multiprocessing.spawn(_member, (task, count, str(folder), more), nprocs=count)


def _member(rank, task, count, folder, more):
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count
    )
    task(rank, torch.distributed.group.WORLD.group_name, folder, *more)
    # A DistributedDataParallel is a cycle of references and holds the group. What is left of it when
    # Python ends is torn down by Gloo's threads, which then abort where they wait for Python's lock:
    # github.com/pytorch/pytorch/pull/179291.
    gc.collect()
    torch.distributed.destroy_process_group()
