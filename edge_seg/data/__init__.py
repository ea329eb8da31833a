"""Datasets: COCO in, training batches out; converters, checks and the generated set."""
