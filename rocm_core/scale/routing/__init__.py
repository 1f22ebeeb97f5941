"""Which replica gets a request, so that prompt caches are of use."""
