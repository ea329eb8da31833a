"""Programs in Paddle's inference format: the one reader, editor, integrity check and executor."""
