"""What pyproject.toml cannot say: packages are found, and data/ goes along as one of them, for the samples."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["helpers", "helpers.*"]), "helpers._data"],
    package_dir={"helpers._data": "data"},
)
