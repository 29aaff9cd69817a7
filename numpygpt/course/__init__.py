"""Exercises that check themselves: write GPT-2, and let the real model tell you whether it works."""

from numpygpt.course.notebook import check as check
