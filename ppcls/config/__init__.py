"""What the user wrote: recipes, their inheritance and overrides, checked against one schema.

Nothing is imported here, so that ``ppcls.registry`` can be used without pydantic and YAML.
"""

from typing import TYPE_CHECKING

from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.config.loading import load, load_values
    from ppcls.config.schema import Config

__all__ = ["Config", "load", "load_values"]
__getattr__, __dir__ = lazy_exports(
    __name__,
    {"Config": "ppcls.config.schema", "load": "ppcls.config.loading", "load_values": "ppcls.config.loading"},
)
