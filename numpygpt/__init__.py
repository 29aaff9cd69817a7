"""GPT-2 in plain NumPy: read it, run it, check it against the original.

>>> from numpygpt import GPT2Config, gpt2, layer_norm  # every part works on its own
>>> GPT2Config().n_layer
12
"""

import os
import sys

if "numpy" not in sys.modules:  # when NumPy is loaded, OpenBLAS reads for how many cycles, as a power of 2, its threads
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")  # keep a core without work; those in threads.py need it

from numpygpt.layers import (
    attention,
    causal_mask,
    gelu,
    gelu_exact,
    layer_norm,
    linear,
    mlp,
    multi_head_attention,
    positional_embedding,
    sinusoidal_encoding,
    softmax,
    split_heads,
    token_embedding,
)
from numpygpt.model import GPT2Config, KVCache, gpt2, pad_left, transformer_block
from numpygpt.pretrained import GPT2
from numpygpt.sampling import Sampling
from numpygpt.tokenizer import Tokenizer
from numpygpt.tracing import trace

__version__ = "0.1.0"

__all__ = [
    "GPT2",
    "GPT2Config",
    "KVCache",
    "Sampling",
    "Tokenizer",
    "attention",
    "causal_mask",
    "gelu",
    "gelu_exact",
    "gpt2",
    "layer_norm",
    "linear",
    "mlp",
    "multi_head_attention",
    "pad_left",
    "positional_embedding",
    "sinusoidal_encoding",
    "softmax",
    "split_heads",
    "token_embedding",
    "trace",
    "transformer_block",
]
