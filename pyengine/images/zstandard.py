"""zstd, from where this Python has it: its own module since 3.14, the backport before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info < (3, 14):
    from backports.zstd import (
        CompressionParameter,
        DecompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
    )
else:
    from compression.zstd import (
        CompressionParameter,
        DecompressionParameter,
        ZstdCompressor,
        ZstdDecompressor,
        ZstdError,
    )

__all__ = ["ZstdDecompressor", "ZstdError", "compressor", "decompressor"]


def decompressor(window_log: int) -> ZstdDecompressor:
    """One for a single frame, with a window of no more than two to the power of *window_log*."""
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: window_log})


def compressor(level: int) -> ZstdCompressor:
    """One that writes a checksum; *level* is zstd's, 1 to 22."""
    return ZstdCompressor(
        options={
            CompressionParameter.compression_level: level,
            CompressionParameter.checksum_flag: 1,
        }
    )
