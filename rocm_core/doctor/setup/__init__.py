"""Set up an engine that reaches the card: what is here, what to do about it, and a proof.

site    what decides: cards, drivers, permissions, container, system   (reads files only)
advice  which engine fits, why, and the exact commands                 (pure)
trial   a real answer on the device, and its speed against the CPU
"""
