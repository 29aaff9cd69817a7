"""GPT-2 in plain NumPy: read it, run it, check it against the original.

>>> from numpygpt import GPT2Config, gpt2, layer_norm  # every part works on its own
>>> GPT2Config().n_layer
12
"""

from numpygpt.activations import gelu_exact as gelu_exact
from numpygpt.beam_search import beam_search as beam_search
from numpygpt.config import GPT2Config as GPT2Config
from numpygpt.gpt2 import gpt2 as gpt2
from numpygpt.gpt2 import transformer_block as transformer_block
from numpygpt.layers import attention as attention
from numpygpt.layers import causal_mask as causal_mask
from numpygpt.layers import gelu as gelu
from numpygpt.layers import layer_norm as layer_norm
from numpygpt.layers import linear as linear
from numpygpt.layers import merge_heads as merge_heads
from numpygpt.layers import mlp as mlp
from numpygpt.layers import multi_head_attention as multi_head_attention
from numpygpt.layers import positional_embedding as positional_embedding
from numpygpt.layers import relu as relu
from numpygpt.layers import softmax as softmax
from numpygpt.layers import split_heads as split_heads
from numpygpt.layers import token_embedding as token_embedding
from numpygpt.pretrained import GPT2 as GPT2
from numpygpt.pretrained import KVCache as KVCache
from numpygpt.pretrained import Tokenizer as Tokenizer
from numpygpt.pretrained import pad_left as pad_left
from numpygpt.sampling import Sampling as Sampling
from numpygpt.trace import trace as trace
from numpygpt.transformer import sinusoidal_encoding as sinusoidal_encoding
from numpygpt.transformer import transformer as transformer
from numpygpt.transformer_config import TransformerConfig as TransformerConfig
from numpygpt.translator import Translator as Translator
from numpygpt.version import __version__ as __version__
