"""Running a bundle: image in, instances out, the same on every engine. No paddle is needed to run a `.nb`."""
