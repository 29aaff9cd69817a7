"""The words of the embedded translator's card; `publish_translator.py` measures the numbers in it."""

from __future__ import annotations

CARD = """\
# english-french

A small encoder-decoder, the Transformer of 2017, that this project trained itself with
[`numpygpt.train`](../../numpygpt/train): plain NumPy on a CPU. It translates short everyday sentences from English to
French: `python -m numpygpt.translate "Where is the station?"`.
{note}
## The model

| | |
| --- | --- |
| architecture | Marian, as [`numpygpt/transformer.py`](../../numpygpt/transformer.py) has it: {encoder_layers} + \
{decoder_layers} layers, {encoder_attention_heads} heads, width {d_model}, post-layer-norm, ReLU, sinusoidal positions |
| vocabulary | {vocab_size} tokens: a byte-level BPE learned on both languages; the end, padding and the start last |
| longest text | {max_position_embeddings} tokens; longer ones are cut at the ends of sentences |
| parameters | {n_params:,} |
| weights | float16, {size:,} bytes |
| trained | {steps:,} steps, {n_target:,} French tokens predicted, {hours:.1f} hours, {threads} threads of a shared \
CPU |
| validation loss | {loss:.4f} nats per token, perplexity {perplexity:.2f}, {bits:.4f} bits per byte |

![Training loss, with label smoothing, and validation loss, without, against the French tokens seen](loss.png)

The points of the curve are in [`loss.csv`](loss.csv). The training loss lies above the validation loss because it
counts label smoothing and is measured under dropout.

## How good it is

On the {n_test:,} English sentences of the test part, each scored once, against all its translations there, by
[sacrebleu](https://github.com/mjpost/sacrebleu) (tokenizer 13a), with the weights as they ship. *Far* are the {n_far}
sentences that differ from every training sentence in more than one word: replaced, added or left out.

{scores}

*Word for word* takes for each English word the French one that comes with it most often, for its frequency; *nearest
training sentence* gives back the translation of the sentence with the most words in common. For scale: opus-mt-en-fr,
75 M parameters trained on far more text, reports BLEU 50.5 on another set of Tatoeba sentences.

The same numbers stand in [`scores.json`](scores.json); `python weights/translation_scores.py english-french
corpus/translation` measures them again.

## What it writes

{n_samples} sentences drawn at random from the test part (`random.Random(0)`), unedited.

{samples}

## Beside a decoder alone

The same pairs, taught to a small encoder-decoder and to a GPT-2 that reads `English <|endoftext|> French
<|endoftext|>`, with the loss on the French; both at the same time, on one core each, with the same optimizer and
schedule, without dropout and label smoothing, and about as many tokens a step:

{architectures}

The loss is that of the validation part, BLEU and chrF are of the test sentences, greedily, tokens/s were timed in turns
on one thread. The hour is one of computing: with what else the machine did, it took 81 minutes. `python
weights/architectures.py` does it again.

The mean of the last five states that this encoder-decoder saved has a validation loss of 1.005 instead of 1.014 nats.
The weights that are published here are those of the last step; no mean of them was tried.

## Why this shape

Three sizes of vocabulary were tried with three layers each side and width 256, in PyTorch on one thread, all with the
learning rate falling along half a cosine to 0 after 18 minutes; the loss of the validation part, in nats per byte of
French, so that vocabularies compare:

| vocabulary | parameters | after 5 minutes | after 10 | after 18 |
| ---: | ---: | ---: | ---: | ---: |
| 2,048 | 6.1 M | 1.143 | stopped | |
| 4,096 | 6.6 M | 1.068 | 0.767 | 0.642 |
| 8,192 | 7.7 M | 1.068 | 0.786 | 0.685 |

Each was made once, with one seed, while the machine did other work.

## What it was trained on

162,242 pairs of sentences from [Tatoeba](https://tatoeba.org), in the edition of
[www.manythings.org/anki](https://www.manythings.org/anki) of 2019-04-07 (`fra-eng`), under CC BY 2.0 FR. The pairs were
split by their English sentence with case and punctuation ignored; no sentence of either language is in two parts. The
sentences themselves are not part of this repository.

## How

Adam with β 0.9 and 0.98; the learning rate rises to {lr:g} over {warmup} steps and then falls along half a cosine to 0
(the paper's inverse square root never comes down to 0, which a run of known length can); dropout {dropout:g} of
embeddings and of what each branch adds; label smoothing {smoothing:g}; pairs of like length in batches of about
{batch_tokens:,} tokens; gradients clipped to a global norm of 1. With the corpus in
`corpus/`, this trains it again:

{command}
    python weights/publish_translator.py checkpoints/english-french corpus/translation

## What it cannot do

It knows everyday sentences of about ten words and no others: news, law, poems and long sentences come out wrong, and
it does not say so. Rare words and names it has not seen are guessed from their parts, sometimes into words that do not
exist. It chooses between *tu* and *vous*, and the gender of the speaker, as it pleases, for a single English sentence
does not say. It translates each sentence by itself and knows nothing of the one before. Tom, Mary and Boston come to
its mind too easily. Other languages, and French into English, it cannot do at all. Whatever is lopsided in its data is
lopsided in its translations.

## Licence

The weights are under the MIT licence of the code. The sentences are by the contributors of
[tatoeba.org](https://tatoeba.org), by way of [www.manythings.org/anki](https://www.manythings.org/anki), CC BY 2.0 FR.
"""
