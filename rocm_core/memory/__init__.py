"""Estimate the memory that a load needs, and find the largest load that fits. Pure arithmetic.

    placement   the device of each layer and of each weight
    cache       keys and values (KV cache), or the state of recurrent layers
    compute     the largest working set of one batch (compute buffers)
    prompt_cache  the bound of the host memory for earlier prompts
    companions  projector and LoRA adapters, which are loaded beside a model
    estimate    weights, KV cache and compute buffers of every device
    fit         the largest context, the most layers, experts or slots that fit

Input are the facts of a GGUF header; no file is opened, no process started, no GPU touched.
"""
