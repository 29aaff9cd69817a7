"""The page that looks inside a prompt: `python -m numpygpt.look`, and `GPT2.look` in a notebook."""
