"""A model's name or folder -> its configuration, parameters and tokenizer."""
