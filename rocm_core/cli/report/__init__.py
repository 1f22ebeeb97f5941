"""Commands that print facts: models, fit, doctor, top, bench, config."""
