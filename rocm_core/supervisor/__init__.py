"""One llama-server process: start it, wait until it is ready, watch it, restart it, stop it.

    view (state, clients, metrics) ◀── server (start, restart, stop) ──▶ startup (its waiters)
                                          └──▶ handle ◀── owned_process ──▶ child_process

The supervisor is given a factory for its handles, so it does not know whether this program owns the
process or has a lease on it. Nothing here knows of other programs (``shared``) or of models
(``backend``).
"""
