"""Builders for the models that ship with the project (development only, not installed)."""
