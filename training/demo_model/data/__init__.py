"""The training text, all of it our own: written here or put together at random.

pools       names, cities, pseudo-words, numbers: what sentences are filled with
facts       what llama-rocm is and how to use it (``facts.txt``), as questions and answers
small_talk  greetings, thanks, names, system prompts, and what the model cannot do
context     a passage and a question about it
catalog     tools that people really offer to models, with ways to ask for them
tools       conversations with tools
structured  JSON
thinking    questions that are answered after a short thought
mix         how much of each, and the prompts held out for evaluation
"""
