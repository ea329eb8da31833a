"""Layers → programs, and the reference result that every conversion is held to."""
