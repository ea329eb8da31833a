"""Measuring: bundles on targets under scenarios become records; records become tables."""
