"""What every package is given: the settings, the catalogue, the meter, the database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gbproxy.accounts.available_models import configured_models
from gbproxy.bootstrap.storage import open_storage
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.models import Model
from gbproxy.observability.meter import SILENT, Meter
from gbproxy.services import Storage
from gbproxy.settings import Settings


@dataclass(frozen=True, slots=True)
class Foundation:
    settings: Settings
    catalogue: Catalogue
    meter: Meter
    storage: Storage

    @property
    def max_file_bytes(self) -> int:
        return int(self.settings.max_file_mb * 1024 * 1024)


def make_foundation(settings: Settings, models: Collection[Model]) -> Foundation:
    """`models`: beside those of the settings."""
    catalogue = Catalogue(settings.default_model, configured_models(settings.models, models))
    meter = _meter(settings, catalogue)
    return Foundation(settings, catalogue, meter, open_storage(settings, meter))


def _meter(settings: Settings, catalogue: Catalogue) -> Meter:
    if not settings.metrics_keys:  # /metrics is off
        return SILENT
    from gbproxy.observability.metrics import Metrics

    return Metrics(model.id for model in catalogue.all())
