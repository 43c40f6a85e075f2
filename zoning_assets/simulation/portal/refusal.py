"""Errors of an ArcGIS server: HTTP status 200, and an error in the body."""

import orjson


class RefusalError(Exception):
    """The request is refused; `code` and message go into the body."""

    def __init__(self, message: str, *details: str, code: int = 400) -> None:
        super().__init__(message)
        self.code, self.details = code, details

    def body(self) -> bytes:
        """The body of the response."""
        return orjson.dumps({"error": {"code": self.code, "message": str(self), "details": list(self.details)}})
