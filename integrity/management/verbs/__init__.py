"""The verbs of ``manage.py integrity``, a module each: what can be typed behind it, and which function it calls."""

from integrity.management.verbs import (
    accept,
    alerts,
    analyze,
    consolidate,
    control,
    enforce,
    health,
    importing,
    keys,
    metrics,
    quarantine,
    repair,
    rules,
    run,
    runs,
    undo,
    verify,
    watch,
    work,
)

VERBS = {
    verb.name: verb
    for verb in (
        rules.VERB,
        analyze.VERB,
        verify.VERB,
        run.VERB,
        health.VERB,
        quarantine.VERB,
        runs.VERB,
        metrics.VERB,
        watch.VERB,
        alerts.VERB,
        repair.VERB,
        undo.VERB,
        control.PAUSE,
        control.RESUME,
        control.CANCEL,
        enforce.VERB,
        consolidate.VERB,
        importing.VERB,
        accept.VERB,
        keys.VERB,
        work.VERB,
    )
}
"""By name, in the order of the help: those that look, then those that write."""
