"""The words of the card of the model that draws emoji; `publish_emoji.py` measures the numbers in it."""

from __future__ import annotations

CARD = """\
# emoji

A small GPT-2 that draws what is named and names what is drawn: `python -m numpygpt.draw "red apple"`. This project
trained it itself with [`numpygpt.train`](../../numpygpt/train): plain NumPy on a CPU. The model is GPT-2 as it is; only
the tokens, and where the loss counts, are other ones ([`numpygpt/pictures.py`](../../numpygpt/pictures.py)).

![{n_sheet} emoji drawn by the model, a row in noto's style, one in fluent's, one in twemoji's](sheet.png)

What it draws for {n_sheet} names, evenly spread over all that it learned, in the three styles (a row each); seed 0,
unchosen.

## The model

| | |
| --- | --- |
| architecture | GPT-2: {n_layer} layers, {n_head} heads, width {n_embd}, context window {n_ctx} |
| a picture | 32 × 32 pixels in colour, on white: {n_patches} patches of {patch} × {patch}, each one of {n_codes} \
codes (k-means) |
| what the codes keep | {decibels:.1f} decibels, on drawings held out |
| vocabulary | {vocab_size} tokens: a byte-level BPE learned on the names, the codes, and three that end, begin a \
picture or begin a caption |
| parameters | {n_params:,} |
| weights | float16, {size:,} bytes |
| trained | {steps:,} of {planned:,} steps of {batch} drawings, {hours:.1f} hours, {threads} of a shared CPU |
| validation loss | {loss:.4f} nats per token that counts, on drawings held out |

![Training and validation loss against the tokens seen](loss.png)

The points of the curve are in [`loss.csv`](loss.csv).

## How good it is

Of the {n_names} emoji it learned at most three drawings each, {n_train:,} in all. Held out were {n_held_out} drawings
of emoji that it knows from the other artists, and all drawings of {n_never} other emoji ({n_unseen} drawings).

| what | here | nearest learned drawing, in pixels |
| --- | ---: | ---: |
| names a held-out artist's drawing, first answer | {first:.1%} | {nearest:.1%} |
| one of its five likeliest names is right | {first_five:.1%} | {nearest_five:.1%} |
| an emoji never seen: the name belongs to the right one of Unicode's groups | {group:.1%} | {group_nearest:.1%} |
| names a drawing that it learned: noto, fluent, twemoji | {known_noto:.1%}, {known_fluent:.1%}, {known_twemoji:.1%} | |
| draws a name and style that it learned ({n_drawn} of them): the nearest of all real drawings is that emoji | \
{drawn_known:.1%} | |
| the same for a name in a style that was held out ({n_drawn}) | {drawn_held_out:.1%} | |
| reads its own drawings of these two kinds | {read_back_known:.1%}, {read_back_held_out:.1%} | |

Always naming the most common group would be right in {group_most_common:.1%} of the unseen ones. By group:
{groups}.
Drawn {tries} times each at a temperature of {temperature:g}, of which the try is kept that the model reads as the name
with the highest probability; a single try is right in {drawn_once:.1%} of what it learned, and the likeliest patch each
time in {drawn_likeliest:.1%}. A blank picture is named {blank}: so much is said of nothing.

The same numbers stand in [`scores.json`](scores.json); `python weights/emoji_scores.py emoji corpus/pictures` measures
them again.

## What it was trained on

The drawings of three artists, reduced to 32 × 32 pixels, with Unicode's names as captions; the style's name goes before
the caption where it draws. Three quarters of every batch went from the words to the picture, one from the picture,
shifted by a pixel at random, to the name, whose tokens count {name_weight}-fold. Learning rate up to {lr:g}, down along
half a cosine that reaches 0 after all planned steps. (This run was planned for 14,000 steps, from step 3,500 on for
20,000, from 6,000 for 16,500, from 9,500 for 18,000 and from 15,500 for 19,500: its rate followed one cosine after the
other.) With the corpus in `corpus/`, this trains it again:

{command}
    python weights/publish_emoji.py checkpoints/emoji corpus/pictures

## What it cannot do

It has seen {n_names} names and nothing else of the world. Patches of {patch} × {patch} pixels are coarse: small faces
suffer first. Words in a new order give mixtures and blurs. It reads any picture as one of its names, however little it
looks like one.

## Licence

The weights are under the MIT licence of the code. A drawing that a model has learned by heart is close to a copy of it,
so what it draws in a style may fall under the licence of that style's drawings:

| style | drawings | licence |
| --- | --- | --- |
| noto | [Noto Emoji](https://github.com/googlefonts/noto-emoji), Google | \
Apache 2.0, [LICENSE-noto.txt](LICENSE-noto.txt) |
| fluent | [Fluent Emoji](https://github.com/microsoft/fluentui-emoji), flat, Microsoft | \
MIT, [LICENSE-fluent.txt](LICENSE-fluent.txt) |
| twemoji | [Twemoji](https://github.com/jdecked/twemoji), Twitter, Inc. and other contributors | \
[CC BY 4.0](https://creativecommons.org/licenses/by/4.0/): name them, and say that it was changed |

The names are Unicode's ([LICENSE-unicode.txt](LICENSE-unicode.txt)).
"""
