"""Known failures where a process or a container may start no more threads."""

from __future__ import annotations

from rocm_core.diagnosis.failure_row import KnownFailure

THREADS: tuple[KnownFailure, ...] = (
    KnownFailure(
        "no_threads",
        r"(?:what\(\)|error|fork|retry): *Resource temporarily unavailable"
        r"|can't start new thread|pthread_create.*failed",
        "the machine lets this user or container start no more processes and threads",
        "end other programs, or raise the limit: ulimit -u, pids.max of the container "
        "(docker run --pids-limit), TasksMax of a systemd unit; fewer threads= need less",
        "pthread_create(3), EAGAIN; llama-server b11434 and xllamacpp b11549 under ulimit -u",
    ),
)
