"""A model to talk to, wherever it runs: tokens and events, embeddings, ranks, token counts.

    text_model (the verbs) ──▶ generation (a request becomes a stream of events)
      │                          └──▶ template, token_ids, steps
      └──▶ served_model (loading, facts, closing)

``service`` is a facade for applications with one model; ``ndjson`` writes answers as JSON lines.
"""
