"""What boto raises -> what is worth another attempt, and what is one clear error."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
)

from engine.errors import SourceError

_CHANGED = {"PreconditionFailed", "InvalidRange", "412", "416"}
_THROTTLED = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded",
    "TooManyRequests", "TooManyRequestsException", "429",
}  # fmt: skip
_REFUSED = {
    "AccessDenied", "403", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "ExpiredToken", "InvalidToken", "AllAccessDisabled", "AccountProblem",
}  # fmt: skip
_SERVER_ERROR = 500


class Transient(Exception):  # noqa: N818 - not an error yet
    """An attempt failed, and the next may not. `changed`: the object is not the one before."""

    def __init__(self, message: str, *, changed: bool = False) -> None:
        super().__init__(message)
        self.changed = changed


def translate(
    error: ClientError | BotoCoreError, *, url: str, bucket: str
) -> Transient | SourceError:
    """The error to raise for one of boto's."""
    if isinstance(error, ClientError):
        return _of_answer(error, url, bucket)
    if isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError):
        return Transient(str(error))
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return SourceError(
            f"{url} can't be read: {error}. Give this process AWS credentials: a role, "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    return SourceError(f"{url} can't be read: {error}. Check the AWS configuration.")


def _of_answer(error: ClientError, url: str, bucket: str) -> Transient | SourceError:
    answer = error.response.get("Error", {})
    code = answer.get("Code", "unknown")
    detail = f"{code}: {answer.get('Message', 'no message')}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _CHANGED:
        return Transient(f"the object changed ({detail})", changed=True)
    if code in _THROTTLED or status >= _SERVER_ERROR:
        return Transient(detail)
    if code == "NoSuchBucket":
        return SourceError(
            f"{url} can't be read: there is no bucket {bucket!r}. Check its name, and the account, "
            "region and endpoint that boto3 is configured for."
        )
    if code in {"NoSuchKey", "404"}:
        return SourceError(
            f"{url} does not exist. Give the prefix of a whole bundle: the one with its "
            "manifest.json and every file that this lists."
        )
    if code in _REFUSED:
        return SourceError(
            f"{url} may not be read ({detail}). Allow s3:GetObject on it, and s3:ListBucket on "
            f"{bucket!r} to tell a missing object from a forbidden one, and check the credentials."
        )
    return SourceError(f"{url} can't be read ({detail}).")
