"""`edge-seg doctor`: what would go wrong with this machine, a model or a bundle."""
