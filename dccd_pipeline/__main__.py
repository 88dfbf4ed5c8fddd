"""``python -m dccd_pipeline`` is the ``dccd`` command."""

from dccd_pipeline.cli import main

main()
