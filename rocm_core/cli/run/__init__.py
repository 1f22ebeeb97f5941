"""Commands that run a model, or act on servers that run one: chat, serve, ps, logs, stop."""
