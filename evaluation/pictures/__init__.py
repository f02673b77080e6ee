"""Folders of pictures: what each picture is of, and its pixels."""
