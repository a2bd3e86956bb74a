"""The C++ sources of ``bibench-run``, as package data: ``runners/native_build.py`` builds them."""
