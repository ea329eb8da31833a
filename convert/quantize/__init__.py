"""Integers for weights and activations: what is rounded, by which ranges, and what it costs."""
