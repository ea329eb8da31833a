"""`edge-seg doctor` without a converter: this machine and the roles that it can take, and bundles."""
