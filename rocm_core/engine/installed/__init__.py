"""Engines that pip installed: which packages have one, and which engine of several a model gets."""
