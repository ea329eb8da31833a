"""The one way in which a library that may abort is run in a child process."""
