"""The words of the figures in Chinese, and the figures that are drawn with them.

Where a text has a number or a name in it, `{}` stands for that. What is not in the table stays as it is: tokens, the
names of code, numbers. Terms are those of `tutorials/zh/glossary.md`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONT = "Noto Sans CJK SC"  # its outlines are in the pictures, so that readers need no font
WORDS = {
    "ids {}": "编号 {}",
    "id": "编号",
    "residual stream\n{}": "残差流\n{}",
    "logits {}; the last row says what comes next": "logits {}；最后一行说明接下来是什么",
    "the new id is\nappended, and all\nbegins again": "新的编号接到\n后面，一切\n从头再来",
    "here {}": "这里 {}",
    "{}   merge {}": "{}   第 {} 条合并",
    "learned": "学来的",
    "sinusoidal": "正弦编码",
    "position": "位置",
    "column": "列",
    "column {}": "第 {} 列",
    "cosine similarity": "余弦相似度",
    "distance of two positions": "两个位置的距离",
    "mean similarity": "平均相似度",
    "linear, {}: {}": "线性层 {}：{}",
    "softmax({} · scale + mask): {}": "softmax({} · 缩放 + 掩码)：{}",
    "weights @ v: {}": "权重 @ v：{}",
    "heads side by side: {}": "各头并排：{}",
    "heads {}": "切成头 {}",
    "the token before\n(layer {}, head {})": "前一个词元\n（第 {} 层，头 {}）",
    "the latest . ! or ?\n(layer {}, head {})": "最近的 . ! 或 ?\n（第 {} 层，头 {}）",
    "the latest quotation mark\n(layer {}, head {})": "最近的引号\n（第 {} 层，头 {}）",
    "what followed this token before\n(layer {}, head {})": "这个词元上次后面跟着的\n（第 {} 层，头 {}）",
    "attention weight": "注意力权重",
    "weight,\nwithout the scale": "权重，\n没有缩放",
    "weight,\ndivided by sqrt(n_dim)": "权重，\n除以 sqrt(n_dim)",
    "key": "键",
    "query": "查询",
    "scores / sqrt(n_dim)": "分数 / sqrt(n_dim)",
    "with the mask": "加上掩码",
    "softmax: attention weights": "softmax：注意力权重",
    "ReLU: max(x, 0)": "ReLU：max(x, 0)",
    "lowest point: {}": "最低点：{}",
    "output": "输出",
    "tanh - exact,\n× 10,000": "tanh - 精确，\n× 10,000",
    "embed-\ndings": "嵌入",
    "length of the vector": "向量的长度",
    "the stream, after the block": "块之后的残差流",
    "what attention adds": "注意力加上的",
    "what the MLP adds": "MLP 加上的",
    "share of the parameters, %": "占参数的份额，%",
    "stories\n6 million": "stories\n600 万",
    "gpt2\n124 million": "gpt2\n1.24 亿",
    "gpt2-medium\n355 million": "gpt2-medium\n3.55 亿",
    "gpt2-large\n774 million": "gpt2-large\n7.74 亿",
    "gpt2-xl\n1,558 million": "gpt2-xl\n15.58 亿",
    "number of tokens kept, the likeliest first": "留下多少个词元，从最可能的数起",
    "their probability together": "它们的概率之和",
    "the sentence's 1st, 2nd, 3rd ... time in a row": "这个句子连续第几次出现",
    "mean probability of its tokens": "句中词元的平均概率",
    "{} others,\ntogether": "其余 {} 个\n合起来",
    "probability": "概率",
    "temperature {}": "温度 {}",
    "prefill": "预填充",
    "decode {}": "解码 {}",
    "without a cache": "没有缓存",
    "with a cache": "有缓存",
    "computed in this call": "这次调用计算的",
    "read from the cache": "从缓存里读的",
    "length of the text, in tokens": "文本长度，单位词元",
    "multiplications for the next token": "下一个词元的乘法次数",
    "decode, 1 sequence": "解码，1 个序列",
    "decode, {} at once": "解码，{} 个一起",
    "prefill, {} tokens": "预填充，{} 个词元",
    "limit of memory": "内存的上限",
    "limit of arithmetic": "算力的上限",
    "FLOPs for each byte of the weights": "权重每个字节做多少次浮点运算",
    "billion FLOPs a second": "每秒多少次浮点运算，单位十亿",
    "tokens in the window": "窗口里的词元数",
    "loss in nats per token": "损失，每词元多少奈特",
    "surprise in bits": "惊讶，单位比特",
    "step": "步",
    "learning rate": "学习率",
    "learning rate {}": "学习率 {}",
    "gradient descent": "梯度下降",
    "momentum": "动量",
    "loss\n{}": "损失\n{}",
    "irreducible loss": "不可约损失",
    "loss (nats per token)": "损失（每词元多少奈特）",
    "{} lines: held-out ones": "{} 行：留出的行",
    "{} lines: the learned ones": "{} 行：学过的行",
    "end of the warm-up": "预热结束",
    "head {}": "头 {}",
    "the story": "本页的故事",
    "the second story": "第二个故事",
    "rise of the loss, nats per token": "损失上升，每词元多少奈特",
    "token read at this position": "这个位置读进去的词元",
    "probability of the token in the cell": "格中词元的概率",
    "neuron {} of {}": "{1} 的神经元 {0}",
    "activation": "激活值",
    "{}, head {}: highest previous-token score": "{}，头 {}：前一词元分数最高",
    '{}, head {}: adds most to "{}"': "{}，头 {}：给“{}”加得最多",
    "looked at": "被看的词元",
    "looks at": "被看的英语词",
    "about to be written": "将要写出的法语词",
    "is seen": "被看",
    "looks": "在看",
    "encoder-decoder": "编码器—解码器",
    "decoder-only": "仅解码器",
    "embedding + position": "嵌入 + 位置",
    "self-attention, no mask": "自注意力，没有掩码",
    "self-attention, causal mask": "自注意力，因果掩码",
    "cross-attention": "交叉注意力",
    "MLP": "多层感知机",
    "encoder {}": "编码器 {}",
    "decoder {}": "解码器 {}",
    "memory {}: keys and values": "memory {}：键和值",
    "output layer": "输出层",
    "source to source": "源序列看源序列",
    "target to source": "目标序列看源序列",
    "target to target": "目标序列看目标序列",
    "all from {}": "第 {} 块起",
    "none": "不遮",
    "blocks in which the sentence cannot be seen": "在哪些块里看不见这个句子",
    "probability of the right answer": "正确答案的概率",
    "hidden: who took it": "遮住：谁拿了东西",
    "hidden: where that person went": "遮住：那个人去了哪里",
}


@cache
def pattern(english: str) -> re.Pattern[str]:
    """Return what finds an entry of the table, and the numbers and names in it."""
    return re.compile("([^\n]+?)".join(map(re.escape, english.split("{}"))))


def translated(text: str, words: dict[str, str] = WORDS) -> str:
    """Return a text of a figure in Chinese; one that the table does not have, as it is.

    >>> translated("decode 3"), translated("position"), translated("h.0.mlp")
    ('解码 3', '位置', 'h.0.mlp')
    """
    if text in words:
        return words[text]
    for english, chinese in words.items():
        if found := pattern(english).fullmatch(text):
            return chinese.format(*found.groups())
    return text


def translate(figure: Figure) -> bool:
    """Put the Chinese words into a figure that has been drawn, and say whether there were any."""
    from matplotlib.text import Text

    found = False
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        names = [label.get_text() for label in axis.get_ticklabels()]
        if names != (new := [translated(name) for name in names]):
            axis.set_ticks(axis.get_ticklocs(), new)
            found = True
    for text in figure.findobj(Text):
        found |= translated(text.get_text()) != text.get_text()
        text.set_text(translated(text.get_text()))
    return found
