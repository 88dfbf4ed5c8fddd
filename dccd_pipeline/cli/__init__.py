"""The ``dccd`` command: one module for each thing it does."""
