"""From a trained tagger to one at work: smaller, faster, behind a function, a file or a page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
