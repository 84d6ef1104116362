"""Every error that lcodec raises on purpose, split by what the caller can do about it.

LcodecError
|-- InputError            the picture or option given to us is unusable            exit 4
|-- FormatError           the file is not one that we can decode
|   |-- NotLcodecError    not an lcodec file at all                                exit 5
|   |-- CorruptError      an lcodec file, damaged or cut short                     exit 5
|   `-- UnsupportedError  a version, codec or chunk that this program is too old for  exit 5
|-- LimitError            valid, but larger than the caller's limits allow         exit 5
|-- WeightsError          weights missing, damaged, or not the ones the file names exit 6
`-- BudgetError           the byte budget is out of reach for this picture         exit 7
"""


class LcodecError(Exception):
    """Base of all; the message is one line, fit for a terminal."""

    exit_code = 1


class InputError(LcodecError):
    """The input picture or an option's value cannot be used."""

    exit_code = 4


class FormatError(LcodecError):
    """The bytes are not a file that this program can decode."""

    exit_code = 5


class NotLcodecError(FormatError):
    """The bytes do not start with the magic number of an lcodec file."""


class CorruptError(FormatError):
    """The file is damaged: a checksum, length or range does not hold."""


class UnsupportedError(FormatError):
    """The file uses a format version, codec or critical chunk unknown to this program."""


class LimitError(LcodecError):
    """The file or picture is valid but asks for more than `Limits` or `Settings` allow."""

    exit_code = 5


class WeightsError(LcodecError):
    """Weights are missing, damaged, or differ from those that the file names."""

    exit_code = 6


class BudgetError(LcodecError):
    """No rate of this codec meets the byte budget for this picture."""

    exit_code = 7
