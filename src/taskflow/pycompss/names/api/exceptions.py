"""The exception that a task raises to end the work of its groups."""


class COMPSsException(Exception):
    """Placeholder."""

    def __init__(self, message: object, target_direction: int = -1) -> None:
        super().__init__(message)
        self.message = message
        self.target_direction = target_direction


__all__ = ["COMPSsException"]
