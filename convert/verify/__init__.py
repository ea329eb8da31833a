"""`edge-seg verify`: the first stage at which a bundle differs from its model."""
