"""Training: a loop that knows a task by a few methods only, and the tasks."""

from numpygpt.train.config import TrainingConfig as TrainingConfig
from numpygpt.train.config import TrainingError as TrainingError
