"""What an agent costs: a task of two tools, on the scripted server (``--only agents``)."""
