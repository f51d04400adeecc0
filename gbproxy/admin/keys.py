"""/api/admin/keys: client keys; a key is shown in the answer to its creation, and never again.
Times are Unix seconds.
"""

from __future__ import annotations

import math
from typing import Any

from flask import Blueprint, Response, jsonify
from flask.typing import ResponseReturnValue

from gbproxy.admin.answers import DELETED, TAG, KeyEntry, KeyList, NewKey
from gbproxy.api_keys.key_input import KeyInput
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.domain.principal import ApiKey
from gbproxy.web.body import json_body
from gbproxy.web.operations import Operation, described


def blueprint(api_keys: ApiKeys) -> Blueprint:
    bp = Blueprint("admin_keys", __name__, url_prefix="/api/admin/keys")

    @bp.get("")
    @described(Operation(tag=TAG, summary="All stored client keys", answers={200: (KeyList,)}))
    def list_all() -> Response:
        return jsonify(keys=[entry(key) for key in api_keys.list()])

    @bp.post("")
    @described(
        Operation(
            tag=TAG, summary="Create a client key", answers={201: (NewKey,)}, request=KeyInput
        )
    )
    def create() -> ResponseReturnValue:
        made, key = api_keys.create(json_body())
        return jsonify({**entry(made), "key": key}), 201

    @bp.patch("/<key_id>")
    @described(
        Operation(
            tag=TAG,
            summary="Change a client key",
            answers={200: (KeyEntry,)},
            request=KeyInput,
            is_partial=True,
        )
    )
    def change(key_id: str) -> Response:
        return jsonify(entry(api_keys.change(key_id, json_body())))

    @bp.delete("/<key_id>")
    @described(Operation(tag=TAG, summary="Revoke a client key", answers=DELETED))
    def revoke(key_id: str) -> ResponseReturnValue:
        api_keys.revoke(key_id)
        return "", 204

    return bp


def entry(key: ApiKey) -> dict[str, Any]:
    policy, addresses = key.policy, key.policy.allowed_addresses
    return {
        "id": key.id,
        "name": key.name,
        "fingerprint": key.fingerprint,
        "created_at": int(key.created_at),
        "expires_at": None if key.expires_at is None else math.ceil(key.expires_at),
        "models": None if policy.models is None else sorted(policy.models),
        "rate_limit": None if policy.rate_limit is None else str(policy.rate_limit),
        "tokens_per_day": policy.tokens_per_day,
        "concurrent_streams": policy.concurrent_streams,
        "allowed_addresses": None if addresses is None else [*map(str, addresses)],
    }
