"""Names to classes: how the code behind a recipe's ``name: arguments`` is found, ours and other people's.

Standard library only, so that packages which must stay light (``ppcls.data.transforms``) can register themselves.
"""

from ppcls.registry.arguments import Mistake, Parameter, nearest, suggest
from ppcls.registry.importing import import_components
from ppcls.registry.registry import Entry, Registry
from ppcls.registry.sources import Source

__all__ = ["Entry", "Mistake", "Parameter", "Registry", "Source", "import_components", "nearest", "suggest"]
