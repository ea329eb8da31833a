"""`edge-seg tune`: the settings of a run that fit a budget."""
