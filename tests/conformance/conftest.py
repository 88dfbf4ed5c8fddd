"""What is made up for one test only is imported by that test alone: nobody else knows its data type."""

from typing import Final

collect_ignore: Final = ["made_up"]
