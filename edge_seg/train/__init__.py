"""How a model learns: runs, trainer, schedule, checkpoints, evaluation."""
