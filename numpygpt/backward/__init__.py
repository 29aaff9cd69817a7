"""How GPT-2 learns: the gradient of every function of the book, worked out by hand."""

from numpygpt.backward.dropout import Dropout as Dropout
from numpygpt.backward.dropout import dropout as dropout
from numpygpt.backward.gpt2 import forward_residual_stream as forward_residual_stream
from numpygpt.backward.gpt2 import forward_transformer_block as forward_transformer_block
from numpygpt.backward.gpt2 import gpt2 as gpt2
from numpygpt.backward.gpt2 import transformer_block as transformer_block
from numpygpt.backward.layers import attention as attention
from numpygpt.backward.layers import forward_attention as forward_attention
from numpygpt.backward.layers import forward_mlp as forward_mlp
from numpygpt.backward.layers import forward_multi_head_attention as forward_multi_head_attention
from numpygpt.backward.layers import gelu as gelu
from numpygpt.backward.layers import gelu_exact as gelu_exact
from numpygpt.backward.layers import layer_norm as layer_norm
from numpygpt.backward.layers import linear as linear
from numpygpt.backward.layers import merge_heads as merge_heads
from numpygpt.backward.layers import mlp as mlp
from numpygpt.backward.layers import multi_head_attention as multi_head_attention
from numpygpt.backward.layers import positional_embedding as positional_embedding
from numpygpt.backward.layers import relu as relu
from numpygpt.backward.layers import softmax as softmax
from numpygpt.backward.layers import split_heads as split_heads
from numpygpt.backward.layers import token_embedding as token_embedding
from numpygpt.backward.loss import cross_entropy as cross_entropy
from numpygpt.backward.loss import output_layer as output_layer
