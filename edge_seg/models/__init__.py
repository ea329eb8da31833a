"""Mask R-CNN with FPN in paddle.nn. Parameter names are PaddleDetection's, so that its weights fit."""
