"""The words of the card of the model that answers; `publish_questions.py` measures the numbers in it."""

from __future__ import annotations

CARD = """\
# questions

A small GPT-2 that answers questions about a short story: `python -m numpygpt.answer "Mary went to the kitchen. John \
took the milk. Where is Mary?"`. This project trained it itself with [`numpygpt.train`](../../numpygpt/train): plain
NumPy on a CPU. The model is GPT-2 as it is; only the tokens, and where the loss counts, are other ones
([`numpygpt/questions.py`](../../numpygpt/questions.py)).

## The model

| | |
| --- | --- |
| architecture | GPT-2: {n_layer} layers, {n_head} heads, width {n_embd}, context window {n_ctx} |
| vocabulary | {vocab_size} tokens: a byte-level BPE learned on the stories until every word of theirs is one token |
| parameters | {n_params:,} |
| weights | float16, {size:,} bytes |
| began as | [`stories`](../stories/README.md): its layers, and for every word the mean embedding of its tokens there; \
positions beyond its {old_n_ctx} begin as copies of the first ones |
| trained | {n_steps:,} steps, {n_answer:,} tokens of answers learned, {hours:.1f} hours, {threads} threads of a \
shared CPU |
| validation loss | {loss:.4f} nats per token of the answers, {right:.1f}% of {n_held_out} held-out questions right |

![Training and validation loss of the answers against the answers' tokens seen](loss.png)

The points of the curve are in [`loss.csv`](loss.csv).

## How good it is

On the official tests of the 20 bAbI tasks, 1,000 questions each, with the weights as they ship. A question is asked
behind the sentences that stand before it, without those asked earlier; an answer is right where it is the data's, word
for word, lists in their order. A task is passed where at most 5% are wrong.

{table}

Mean error {mean:.1f}%, {passed} of 20 tasks passed. One model for all tasks; its answers are its own tokens, without a
rule by task or a list to choose from. For scale: Dehghani et al. 2019 (Universal Transformers, arXiv:1807.03819, table
1; quoted from memory) give a plain Transformer trained jointly on the same 10,000 questions a task a mean error of
22.1% and 12 tasks failed.

**Task 3's training stories are not all the original ones**: 385 are, and 1,615 were written by a program that imitates
them, for the original file could not be had whole. Its test is the original. **Task 4's** test stories occur in its
training data to a large part (691 of 933), as they do in the original.

**Other names and places.** With Mary, John, Sandra, Daniel, kitchen, office and garden replaced by words that the
vocabulary knows from other tasks alone (Julie, Bill, Fred, Jeff, cinema, school, park), the error becomes:

{renamed}

**When it does not know.** Of {n_asked} answers, {n_each} a task, those whose probability is below a threshold:

{thresholds}

`python -m numpygpt.answer` says "I do not know" below {unsure:g}.

**What it looked at.** The sentence that `--why` puts first is one that the answer rests on, by the data, in {why_1:.0%}
of task 1's questions, {why_2:.0%} of task 2's and {why_3:.0%} of task 3's ({n_each} each).

The same numbers stand in [`scores.json`](scores.json); `python weights/questions_scores.py questions
corpus/questions/babi/en-10k` measures them again.

## What it was trained on

The training parts of the 20 bAbI tasks, version 1.2, English, 10,000 questions each (Weston et al. 2015, "Towards
AI-complete question answering", arXiv:1502.05698), CC BY 3.0, Facebook, Inc.; task 3 as said above. Every 100th story
was held out. Stories came with all of their questions in half of the cases and with some of them in the other half, in
batches of like length of about {batch_tokens:,} tokens, the loss on the answers alone. The learning rate went down
along half a cosine that reaches 0 after all planned steps; a run that went on from another began with new moments of
its optimizer.

{runs}

With the corpus in `corpus/`, this trains it again:

{commands}

## Why this way

Tried in PyTorch on a GPU, in batches of 4,096 tokens where nothing else is said; the mean error over the last question
of at most 300 stories of each test, after so many tokens of stories, while the learning rate still fell. Each was made
once.

{trials}

So the model that has read stories has learned after 8 million tokens what a new one has not after 32; but a high
learning rate destroys what it brings along, and the loss on the story then keeps some of it.

## What it cannot do

It knows {n_words} words and the sentences of twenty small worlds: who went where, who has what, which room lies north
of which. Any other sentence, even of known words, it reads as one of those, and its answer is then worth nothing,
however probable. It looks at a story once, from front to back: what needs a chain of several facts (tasks 2, 3, 16 and
19), it often gets wrong. It says nothing about the real world.

## Licence

The weights are under the MIT licence of the code. The stories are by Facebook, Inc., CC BY 3.0.
"""
