"""Will a model fit? Pure arithmetic on GGUF facts: no file, no process, no GPU is touched.

compute.py    the largest working set of one batch (compute buffers)
estimate.py   weights, KV cache and compute buffers of every device
fit.py        the largest context, the most layers or the most slots that fit
"""

from __future__ import annotations

from rocm_core.memory.estimate import Device, DeviceMemory, MemoryEstimate, estimate_memory
from rocm_core.memory.fit import Goal, fit_model

__all__ = ["Device", "DeviceMemory", "Goal", "MemoryEstimate", "estimate_memory", "fit_model"]
