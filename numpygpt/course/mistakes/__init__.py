"""The mistakes that people really make, each with its hints: one file for each module of the book."""

from numpygpt.course.mistakes.registry import Mistake as Mistake
from numpygpt.course.mistakes.registry import mistakes_of as mistakes_of
