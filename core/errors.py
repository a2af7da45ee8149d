"""What can go wrong, in the user's words.

    WheelworkError
    ├── UserError            the user can mend it; exit code 2
    │   ├── ConfigError      loop.yaml or an option
    │   ├── DataError        a row, a file or a folder of data
    │   ├── LeakError        a held-out row that training would see
    │   ├── ModelError       a model that is missing, damaged or does not fit
    │   ├── BusyError        another round of the same loop is running
    │   ├── RegistryError    a move that the registry or its journal does not allow
    │   └── WorkspaceError   a folder that cannot be written, a full disk
    ├── DependencyError      something outside did not answer after retries; exit code 3
    │   └── TeacherError     a model endpoint
    ├── ServingError         a request that gets an error as its answer, with its HTTP status
    └── BudgetSpent          a signal within a round: no further call, what was answered is used

The message says what is wrong, where, and what to do. It is shown as it is, without a traceback.
"""


class WheelworkError(Exception):
    """Base of every error that is shown to the user as one sentence."""

    exit_code = 1


class UserError(WheelworkError):
    exit_code = 2


class ConfigError(UserError):
    pass


class DataError(UserError):
    pass


class LeakError(DataError):
    pass


class ModelError(UserError):
    pass


class BusyError(UserError):
    pass


class RegistryError(UserError):
    pass


class WorkspaceError(UserError):
    pass


class DependencyError(WheelworkError):
    exit_code = 3


class TeacherError(DependencyError):
    pass


class ServingError(WheelworkError):
    """What a caller of the gateway is told, as OpenAI tells it: `type` and `code` for programs, the rest for people.

    `retry_after` in seconds: when to ask again, where asking again can help.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.param = param
        self.retry_after = retry_after


class BudgetSpent(WheelworkError):
    """Raised before a call that could exceed the budget; whoever gathers replies ends with what there is."""
