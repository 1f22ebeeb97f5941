"""List the machine's AMD GPUs from the kernel's files, and choose which ones to use.

    /sys/class/kfd  ┐
    /sys/class/drm  ┴▶ list_gpus ──▶ Gpu … ──▶ select_gpus ──▶ Selection (GPUs, environment)

Nothing here starts a process or loads a library. ``root`` stands for ``/``: tests and
``llama-rocm doctor --root`` pass the directory of a recorded machine.
"""

from rocm_core.gpu.kernel.kfd import kfd_problem
from rocm_core.gpu.listing import Gpu, list_gpus
from rocm_core.gpu.process import ProcessMemory, process_memory
from rocm_core.gpu.select import HIDE_GPUS, Selection, select_gpus

__all__ = [
    "HIDE_GPUS",
    "Gpu",
    "ProcessMemory",
    "Selection",
    "kfd_problem",
    "list_gpus",
    "process_memory",
    "select_gpus",
]
