"""From a run to a bundle: export, optimise, check. ``edge-seg convert`` is its face."""
