"""One llama-server process: start it, wait until it is ready, watch it, restart it, stop it.

    server (states, waiting callers) ──▶ startup (one start, many waiters)
        └──▶ handle (a running server) ──▶ owned_process ──▶ child_process

The supervisor is given a factory for its handles, so it does not know whether this program owns the
process or shares it. Nothing here knows of other programs (``shared``) or of models (``backend``).
"""
