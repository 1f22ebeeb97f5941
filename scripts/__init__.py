"""Programs for the people who build llama-rocm. Not part of the shipped packages."""
