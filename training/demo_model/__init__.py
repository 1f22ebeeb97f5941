"""The demo model, from text to GGUF. Not part of the shipped packages.

    data/         the training text: written by hand, and put together at random
    tokenizer     text → tokens, so that a value looks the same wherever it stands
    dataset       conversations → batches of token ids
    shape         the numbers of the network
    network       a small llama with a structured start
    muon, train   learning
    chat_format   conversations as text, the twin of ``template.jinja``
    export        weights (NumPy) → GGUF (Q8_0)
    engine, evaluate   how good it is, on llama.cpp itself

``python -m training.demo_model`` runs all of it and writes to ``training/demo_model/out``; with
``--install`` the model becomes ``"demo"``.
"""
