"""What one does with a bundle besides running it: look, check, compare, pack, sign. ``edge-seg bundle`` is its face."""
