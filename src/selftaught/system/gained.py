"""Records that have gained fields since they were first written."""

from typing import Any, ClassVar

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class Gained(BaseModel):
    """A record of which fields in `GAINED` are written only where they say anything: digests of before stay."""

    GAINED: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _as_before(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in written(self).items() if value or name not in self.GAINED}
