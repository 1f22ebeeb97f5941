"""llama.cpp on this machine: which program, what it can do, and the command line for it.

    locate ──▶ Engine ──▶ probe, engine_files (version, flags, GPU backends, devices)
                 │          └──▶ gpu_judgment (rocm or cpu?) ──▶ gpu_placement (which GPUs, shares)
                 └──────▶ command_line ◀──────────────────────────────────┘

``embedded_server`` is the engine of the package ``xllamacpp``; ``parent_death`` ends a process with
its parent; ``offload_bundles`` reads which GPUs a HIP library has code for. Nothing here starts a
server, waits for one or sends it a request.
"""
