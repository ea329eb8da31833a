"""Bringing a model to a board: packing it with the runner, deploying, and Paddle Lite's own archives."""
