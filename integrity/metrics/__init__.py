"""What Prometheus reads: how each rule stands, runs, enforcement, imports and the queue, from the records alone.

Needs prometheus-client (``holdtrue[metrics]``): put ``path("metrics", integrity.metrics.view.metrics)`` among the URLs.
"""
