"""One module a subcommand of ``python -m runtimes``."""
