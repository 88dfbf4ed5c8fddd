"""What workspace.yaml names: the Definitions for the settings that are found."""

from dccd_pipeline.build import build_definitions
from dccd_pipeline.config.lastgood import load_lasting

defs = build_definitions(load_lasting().settings)
