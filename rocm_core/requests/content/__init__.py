"""Parts of a content that are no text: which there are, and which a model can take. Pure."""
