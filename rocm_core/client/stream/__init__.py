"""From bytes to events: framing (SSE), decoding (one chunk of JSON), coalescing. Sans-IO."""
