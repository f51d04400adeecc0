"""The accounts: leased to requests, administered, checked, and which models each can serve."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gbproxy.account_admin.credential_checks import CredentialChecks
from gbproxy.account_admin.daily_use import DailyUse
from gbproxy.account_admin.model_reports import ModelReports
from gbproxy.account_admin.registry import AccountRegistry
from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.background.account_probes import AccountProbes
from gbproxy.background.capability_reads import CapabilityReads
from gbproxy.background.scheduled_checks import ScheduledChecks
from gbproxy.bootstrap.foundation import Foundation
from gbproxy.domain.account import Account
from gbproxy.sessions.cleanup import SessionCleanup
from gbproxy.upstreams.registry import Upstreams


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts:
    """`given`: the accounts that are not in the database."""

    given: Collection[Account]
    pool: Pool
    registry: AccountRegistry
    checks: CredentialChecks
    scheduled_checks: ScheduledChecks
    probes: AccountProbes
    daily_use: DailyUse
    support: ModelSupport
    capability_reads: CapabilityReads
    models: AvailableModels
    model_reports: ModelReports


def make_pool(base: Foundation, accounts: Collection[Account]) -> Pool:
    return Pool(
        accounts,
        concurrency=base.settings.account_concurrency,
        wait_s=base.settings.read_timeout_s,
        order=base.settings.account_order,
        store=base.storage.accounts.health,
        meter=base.meter,
    )


def make_accounts(
    base: Foundation,
    given: Collection[Account],
    pool: Pool,
    upstreams: Upstreams,
    cleanup: SessionCleanup,
) -> AccountParts:
    """The meter observes the accounts from here on."""
    storage = base.storage
    support = ModelSupport(storage.support)
    models = AvailableModels(base.catalogue, support, pool.enabled, upstreams.names)
    checks = CredentialChecks(pool, storage.accounts, upstreams.probe)
    registry = AccountRegistry(
        given,
        pool,
        storage.accounts,
        checks,
        on_removed=cleanup.delete_for_account,
        forget=support.forget,
    )
    base.meter.observe(
        pool.snapshot,
        lambda: storage.database.is_up,
        lambda: checks.known_moments(pool.accounts()),
    )
    return AccountParts(
        given=given,
        pool=pool,
        registry=registry,
        checks=checks,
        scheduled_checks=_scheduled_checks(base, pool, checks),
        probes=AccountProbes(pool, checks.probe),
        daily_use=DailyUse(storage.use),
        support=support,
        capability_reads=CapabilityReads(support, upstreams.account_capabilities),
        models=models,
        model_reports=ModelReports(
            base.catalogue,
            models,
            support,
            pool.accounts,
            sync=(registry.pull_changes, support.sync),
        ),
    )


def _scheduled_checks(base: Foundation, pool: Pool, checks: CredentialChecks) -> ScheduledChecks:
    stored = base.storage.accounts
    return ScheduledChecks(
        pool, stored.times, checks.run, interval_s=base.settings.check_interval_s
    )
