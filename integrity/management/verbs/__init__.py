"""The verbs of ``manage.py integrity``, a module each: what can be typed behind it, and which function it calls."""

from integrity.management.verbs import (
    accept,
    analyze,
    consolidate,
    enforce,
    health,
    importing,
    quarantine,
    repair,
    rules,
    runs,
    undo,
    verify,
    watch,
)

VERBS = {
    module.VERB.name: module.VERB
    for module in (
        rules,
        analyze,
        verify,
        health,
        quarantine,
        runs,
        watch,
        repair,
        undo,
        enforce,
        consolidate,
        importing,
        accept,
    )
}
"""By name, in the order of the help: those that look, then those that write."""
