"""What a right result has beside its numbers, to say first where it is missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from numpygpt.course.inputs_learning import Case
from numpygpt.course.inputs_text import REFUSED
from numpygpt.course.say import say

ROWS = {"softmax"}
CAUSAL = {"attention", "multi_head_attention", "transformer_block", "gpt2"}


def explain(name: str, one: Case, got: Any, implementation: Any) -> list[str]:
    """Return lines that say which property a wrong result lacks, none where it lacks no known one."""
    if name in ROWS and isinstance(got, np.ndarray) and got.ndim:
        if not np.isfinite(got).all():
            return [say("exp of a large number is inf: what may be subtracted from all scores without a change?")]
        sums = got.sum(axis=-1)
        if not np.allclose(sums, 1, atol=1e-3):
            return [say("the rows should sum to 1; here they sum to {sums}", sums=np.round(np.ravel(sums)[:4], 3))]
    if name == "cross_entropy" and not np.isfinite(np.asarray(got)).all():
        return [say("exp of a large logit is inf: what may be subtracted from all logits without a change?")]
    if one in REFUSED.get(name, []):
        return [say("the docstring promises a ValueError for this input")]
    if name == "padding_mask" and "scores" in one[1]:
        return [say("a row that is hidden as a whole has no shares: softmax of -inf alone is NaN, of MASKED it is not")]
    if name in ("transformer_block", "gpt2"):
        args, kwargs = one
        x = np.array(args[0], copy=True)
        if x.shape[0] > 1 and x.ndim == (2 if name == "transformer_block" else 1):
            x[-1] = x[0]
            changed = np.asarray(implementation(x, *args[1:], **kwargs))
            if changed.shape == np.shape(got) and not np.allclose(changed[:-1], np.asarray(got)[:-1], atol=1e-5):
                return [say("the future changes the past: another last token changes what comes out before it")]
    return []
