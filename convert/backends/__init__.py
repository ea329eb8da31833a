"""Programs → what an engine loads, and how such files are run on arrays."""
