import pytest
from pydantic import TypeAdapter, ValidationError

from dccd_pipeline.config.sizes import Size


def test_a_size_is_text_or_a_number_for_editors_and_bytes_for_us() -> None:
    sizes = TypeAdapter(Size)
    assert sizes.validate_python("2GiB") == 2 << 30
    assert sizes.json_schema() == {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    with pytest.raises(ValidationError, match="is no size"):
        sizes.validate_python("much")
