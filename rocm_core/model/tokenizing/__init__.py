"""Token ids of texts: from the server, or from a tokenizer in this process that equals it."""
