"""Encoders of images, which are those of all samples with two axes."""

from selftaught.data.planes import TOKEN_ENCODERS, build_encoder, create, named_encoders

__all__ = ["TOKEN_ENCODERS", "build_encoder", "create", "named_encoders"]
