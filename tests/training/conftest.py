"""Training is tested without a host, as the plain package that it is."""

import sys
from pathlib import Path

import pytest

# Last, so that the pack's `nodes` never hides another package of that name.
sys.path.append(str(Path(__file__).parents[2]))


@pytest.fixture(scope="session")
def detector(tmp_path_factory) -> str:
    """insightface's detector of the known faces, as `--detector` wants it."""
    import photos

    return photos.scrfd(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """Fifteen pictures of one to four people, all good."""
    import photos

    return photos.write_source(tmp_path_factory.mktemp("source"), photos.good_pictures(15))


@pytest.fixture(scope="session")
def settings(source, detector):
    """Settings that take all of them, four to a shard, with the folders as names."""
    import photos

    from training.prepare.settings import Labels, Settings

    return Settings(source, detector, Labels(identity="folders"), photos.SMALL, shard_size=4)


@pytest.fixture(scope="session")
def shards(settings, tmp_path_factory) -> Path:
    """The shards of these pictures, without features."""
    from training.prepare.run import prepare

    folder = tmp_path_factory.mktemp("shards")
    prepare(settings, folder)
    return folder


@pytest.fixture(scope="session")
def caching(tmp_path_factory):
    """Narrow networks, for features at 128 pixels."""
    import tiny

    from training.prepare.settings import Caching

    folder = tmp_path_factory.mktemp("networks")
    networks = (
        tiny.base_folder(folder / "base"),
        tiny.clip_folder(folder / "clip"),
        tiny.backbone_file(folder / "ir.safetensors"),
    )
    return Caching(*networks, resolution=128, device="cpu")


@pytest.fixture(scope="session")
def cached_shards(settings, caching, tmp_path_factory) -> Path:
    """The shards with features."""
    from training.prepare.run import prepare

    folder = tmp_path_factory.mktemp("cached")
    prepare(settings, folder, caching=caching)
    return folder
