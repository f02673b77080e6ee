"""Names of files that are made of what users call things."""


def file_name(text: str) -> str:
    """The text with nothing in it that a file system may not like."""
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in text)
