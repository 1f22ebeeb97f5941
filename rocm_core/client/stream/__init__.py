"""From bytes to events: framing (SSE), decoding (JSON payloads), coalescing. Sans-IO."""
