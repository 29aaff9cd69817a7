"""The engine: the book's functions under their own names, fast, and for every option of `config.json`."""

from numpygpt.engine.bpe import Tokenizer as Tokenizer
from numpygpt.engine.cache import KVCache as KVCache
from numpygpt.engine.decode import generate as generate
from numpygpt.engine.forward import gpt2 as gpt2
from numpygpt.engine.forward import pad_left as pad_left
from numpygpt.engine.forward import transformer_block as transformer_block
from numpygpt.engine.kernels import attention as attention
from numpygpt.engine.kernels import gelu as gelu
from numpygpt.engine.kernels import layer_norm as layer_norm
from numpygpt.engine.kernels import linear as linear
from numpygpt.engine.kernels import mlp as mlp
from numpygpt.engine.kernels import multi_head_attention as multi_head_attention
