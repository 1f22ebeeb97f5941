"""Inputs beside a conversation: files of this machine, and what is embedded or ranked."""
