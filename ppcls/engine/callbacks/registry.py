"""The table of callbacks."""

from ppcls.registry import Registry

CALLBACKS = Registry("callback", trial_arguments=dict)
