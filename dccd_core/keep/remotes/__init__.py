"""Where copies of a lake may be: a module for each kind of place; remote.py says what all of them can."""
