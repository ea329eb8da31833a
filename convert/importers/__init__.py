"""Models that PaddleDetection or PaddleX exported."""
