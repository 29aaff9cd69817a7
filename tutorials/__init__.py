"""Pages that are read beside a Python prompt, and what keeps their outputs and figures true."""
