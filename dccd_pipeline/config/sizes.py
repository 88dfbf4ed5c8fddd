"""Sizes in ``dccd.yaml``: how they are read is dccd_core.domain.sizes."""

from typing import Annotated

from pydantic import PlainValidator

from dccd_core.domain.sizes import read_size

Size = Annotated[int, PlainValidator(read_size, json_schema_input_type=str | int)]
