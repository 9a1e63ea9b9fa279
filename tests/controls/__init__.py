"""The standing controls: what must hold of the whole way from bars to a verdict."""
