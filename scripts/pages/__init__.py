"""The texts of the generated pages, one module each; ``scripts.generate`` writes them."""
