"""The grammars behind the bundled data: rule files in TOML and the engine that expands them."""
