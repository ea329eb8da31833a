"""Records that never ran, as the tests of bench make them."""

from tests.bench.conftest import make_record

__all__ = ["make_record"]
