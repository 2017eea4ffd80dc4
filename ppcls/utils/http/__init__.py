"""An HTTP client for downloads. What a download may do is its ``Policy``; every redirect is held to it anew.

Two kinds of addresses come here. Those that the user of this machine names (weights, images) are fetched as browsers
do it, through proxies. Those that somebody else names in a request to the server are fetched only from IP addresses
that ``Policy.is_allowed`` accepts. The address that was checked is the one that is connected to, so that a name which
resolves differently the second time gains nothing.
"""

from ppcls.utils.http.client import Response, fetch, get
from ppcls.utils.http.policy import (
    SCHEMES,
    ForbiddenError,
    HttpError,
    Policy,
    StatusError,
    TooLargeError,
    TransferError,
    check_url,
)

__all__ = [
    "SCHEMES",
    "ForbiddenError",
    "HttpError",
    "Policy",
    "Response",
    "StatusError",
    "TooLargeError",
    "TransferError",
    "check_url",
    "fetch",
    "get",
]
