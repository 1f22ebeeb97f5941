"""Options of other integrations, and what an unknown option here should have been."""
