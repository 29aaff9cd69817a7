"""What came of checking one exercise, and how it is told."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from numpygpt.course.say import say

STAGES = ("not written", "shape", "example", "against the book", "in the real model")
NOT_WRITTEN, FAILED, PASSED = "not written", "failed", "passed"
SYNTAX, STOPS, ENDLESS, UNFINISHED = "no Python", "an exception", "no end", "unfinished"
RETURNS_NOTHING, IN_PLACE, SHAPE, NUMBERS = "returns nothing", "in place", "shape", "numbers"
RUNNING = {SYNTAX, STOPS, ENDLESS, UNFINISHED, RETURNS_NOTHING}  # where there is no result to speak of


@dataclass
class Result:
    """What came of checking one exercise."""

    name: str
    status: str = PASSED
    stage: int = 4  # the one that failed; 4 where all passed
    message: str = ""  # what was wrong, or what the model did
    hints: list[str] = field(default_factory=list)  # where the mistake is a known one: a question, then more
    mistake: str = ""  # the known mistake's name
    remarks: list[str] = field(default_factory=list)
    seconds: float = 0.0
    cause: str = ""  # of a failure, where no mistake is known: SYNTAX, STOPS, ...
    shown: str = ""  # what the model did, without saying whose functions it was made of

    @property
    def passed(self) -> bool:
        """Whether all four stages did."""
        return self.status == PASSED

    def text(self, *, brief: bool = False) -> str:
        """Return what the learner reads; with `brief`, what the model did is left out."""
        if self.status == NOT_WRITTEN:
            return self.message
        lines = [] if brief and self.shown else self.message.splitlines()
        lines += [say("remark: {text}", text=remark) for remark in self.remarks]
        if self.hints:
            lines.append(say("hint: {text}", text=self.hints[0]))
        head = say("{name}: passed", name=self.name)
        if not self.passed:
            stage = say("running") if self.stage == 1 and self.cause in RUNNING else say(STAGES[self.stage])
            head = say("{name}: stage {number}, {stage}", name=self.name, number=self.stage, stage=stage)
        return "\n".join([head, *(f"    {line}" for line in lines)])

    def advice(self) -> str:
        """Return what to do about a failure whose mistake is not a known one."""
        if self.cause == SYNTAX:
            text = (
                "Python cannot read the file: look at the place of the ^ and at the line before it for a bracket, "
                "a quote or a colon that is missing."
            )
        elif self.cause == STOPS and re.search(r"^(NameError|UnboundLocalError|ImportError)", self.message, re.M):
            text = "Python does not know a name of the last line that is shown: is it spelled as where it was made?"
        elif self.cause == STOPS and re.search(r"^(TypeError|AttributeError|KeyError)", self.message, re.M):
            text = "Something in the last line that is shown is of another kind than you think: print it just before."
        elif self.cause == STOPS:
            text = "Python stops in the last line that is shown: print the shapes of what meets there, just before it."
        elif self.cause == ENDLESS:
            text = "What ends the loop? Print what it counts."
        elif self.cause == UNFINISHED:
            text = "Take `raise NotImplementedError` out once the lines above it return a result."
        elif self.cause == RETURNS_NOTHING:
            text = "A function without `return` gives None; printing a result is not returning it."
        elif self.cause == IN_PLACE:
            text = "x -= 1 and x[0] = 1 change the caller's array; x = x - 1 makes a new one, and so does x.copy()."
        elif self.cause == SHAPE:
            text = "Print the shape after each line, and compare it with the shapes of the docstring."
        else:
            text = "This mistake is not a known one: compute the docstring's example by hand, line by line."
        return say(text)

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return asdict(self)
