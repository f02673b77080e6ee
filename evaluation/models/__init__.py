"""The networks that measure, each behind a small interface and loaded from a file that is named."""
