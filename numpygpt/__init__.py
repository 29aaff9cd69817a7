"""GPT-2 in plain NumPy."""
