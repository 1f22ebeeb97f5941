"""Regular expressions: parse them, and write them as engines enforce them. Pure."""
