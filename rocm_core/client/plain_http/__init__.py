"""Plain HTTP/1.1 over TCP or a unix socket: our transports for httpx, and their parser."""
