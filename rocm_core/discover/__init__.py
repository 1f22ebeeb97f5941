"""Find the models on this machine, and resolve what ``model="…"`` means.

    places    directories and other programs' caches → candidates (by name)
    models    candidates → FoundModel (header facts, projector, problem)
    refs      a path, name, repository or URL → ModelRef

Nothing here downloads, and of a model file only the header is read.
"""
