"""Servers that several programs of one user share, and that outlive the program that started them.

    lease (a client) ──protocol──▶ daemon (owns the server) ──▶ supervisor
        └──▶ registry (entry, lock, socket, log of each server) ◀── admin (list, stop)

The daemon is a process of its own. Requests go straight to llama-server, never through the daemon.
Only ``rocm_core.server.runner`` decides whether a server is shared; nothing here knows of models
or adapters.
"""
