"""Programs → ncnn graphs."""
