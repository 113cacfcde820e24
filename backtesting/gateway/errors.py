"""Errors of the simulated gateway: what stops it, and what it answers instead of a result."""

from __future__ import annotations


class GatewayError(Exception):
    """The simulated gateway cannot do what it was started for. The message names the remedy."""

    code = "GATEWAY"


class GatewayPortError(GatewayError):
    """The port cannot be listened on, so nothing was started. Choose another port, or 0 for any free one."""

    code = "GATEWAY_PORT"


class ContractFileError(GatewayError):
    """A contracts file cannot be used, so nothing was started. Correct the entry the message names."""

    code = "GATEWAY_CONTRACTS"


class QuoteFileError(GatewayError):
    """A quotes file cannot be used, so nothing was started. Correct the row the message names."""

    code = "GATEWAY_QUOTES"


class CorporateActionError(GatewayError):
    """A split or dividend cannot be applied, so nothing was. Correct the row or value the message names."""

    code = "GATEWAY_CORPORATE_ACTION"


class FrameJournalError(GatewayError):
    """A frame journal cannot be written or read; the message names file, line and remedy."""

    code = "GATEWAY_FRAME_JOURNAL"


class ControlError(GatewayError):
    """A command was not obeyed, or no gateway answers at the control socket. The message names the remedy."""

    code = "GATEWAY_CONTROL"


class FrameError(GatewayError):
    """A client sent bytes that are no frame of the protocol; its connection is cut, others live on."""

    code = "GATEWAY_FRAME"


class VersionError(GatewayError):
    """Client and gateway share no protocol version; the client is cut off. Use one of 157 to 178."""

    code = "GATEWAY_VERSION"


class RequestRefusedError(GatewayError):
    """A request is answered with a TWS error message instead of a result; nothing was done.

    Attributes
    ----------
    number
        The TWS error code, for example 200 or 321.
    text
        What the client is told.
    """

    code = "GATEWAY_REQUEST"

    def __init__(self, number: int, text: str) -> None:
        super().__init__(f"{number}: {text}")
        self.number = number
        self.text = text


class RequestFormatError(RequestRefusedError):
    """A request could not be read (320): a field is missing, surplus or no number. Nothing was done."""

    code = "GATEWAY_REQUEST_FORMAT"

    def __init__(self, detail: str) -> None:
        super().__init__(320, f"Error reading request. {detail}")
