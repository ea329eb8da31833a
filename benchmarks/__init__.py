"""This project's own speed claims, measured: ``python -m benchmarks`` (``make bench``).

It stands outside the packages because it needs both ``convert`` and ``bench``, which don't know each other.
"""
