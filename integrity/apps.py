from django.apps import AppConfig
from django.core import checks


class IntegrityConfig(AppConfig):
    name = "integrity"
    verbose_name = "Data integrity"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from integrity.alerts.channels import check_channels
        from integrity.checks import check_rules, check_schedules
        from integrity.importing.known import check_imports, imports
        from integrity.registry import registry

        registry.discover()
        if any(rule.enforce or rule.tracked for rule in registry):
            from integrity.enforcement.declared import declare

            declare(registry)
        checks.register(check_rules, "integrity")
        checks.register(check_schedules, "integrity")
        imports.discover()
        checks.register(check_imports, "integrity")
        checks.register(check_channels, "integrity")
