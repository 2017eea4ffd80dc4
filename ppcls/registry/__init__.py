"""Names to classes: how a recipe's ``name: arguments`` finds the code behind it, ours and other people's.

Standard library only, so that packages which must stay light (``ppcls.data.transforms``) can register themselves.
"""

from ppcls.registry.arguments import Mistake, Parameter, suggest
from ppcls.registry.registry import Entry, Registry
from ppcls.registry.sources import Source, import_components

__all__ = ["Entry", "Mistake", "Parameter", "Registry", "Source", "import_components", "suggest"]
