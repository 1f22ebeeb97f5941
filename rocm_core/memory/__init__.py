"""Estimate the memory that a load needs, and find the largest load that fits. Pure arithmetic.

    cache       keys and values (KV cache), or the state of recurrent layers
    compute     the largest working set of one batch (compute buffers)
    prompt_cache  the bound of the host memory for earlier prompts
    estimate    weights, KV cache and compute buffers of every device
    fit         the largest context, the most layers or the most slots that fit

Input are the facts of a GGUF header; no file is opened, no process started, no GPU touched.
"""
