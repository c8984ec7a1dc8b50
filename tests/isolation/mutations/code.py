"""Breakages of code."""

from tests.isolation.mutations.callers import NAMED_TENANTS, TOKEN_CHECKS
from tests.isolation.mutations.mutation import Edit, code

_COMMON = "libs/common/src/common"
_SESSION, _HANDLING = f"{_COMMON}/db/session.py", f"{_COMMON}/bus/handling.py"
_STANDING, _READING = f"{_COMMON}/db/standing.py", f"{_COMMON}/db/reading.py"
_PAGING, _KEYS = f"{_COMMON}/db/paging.py", f"{_COMMON}/db/idempotency.py"
_HANDLERS, _ACCESS = f"{_COMMON}/web/error_handlers.py", f"{_COMMON}/web/access.py"
_WORKSPACES = f"{_COMMON}/web/workspace_access.py"
_STATEMENTS, _HOT = f"{_COMMON}/db/statements.py", f"{_COMMON}/db/hot.py"

_CURSORS = "test_carried_over.py::test_cursor_of_another_tenant_opens_nothing"


_CARRIED_OVER = (
    code(
        "cursors not signed",
        _CURSORS,
        Edit(_PAGING, "if not hmac.compare_digest(", "if False and not hmac.compare_digest("),
    ),
    code(
        "cursors not bound to their tenant",
        _CURSORS,
        Edit(_PAGING, "cursor|{tenant_id}|{listing}", "cursor|{listing}"),
    ),
    code(
        "idempotency keys not bound to their owner",
        "test_carried_over.py::test_idempotency_key_of_another_answers_nothing",
        Edit(
            _KEYS,
            "WHERE tenant_id = :tenant AND principal = :principal AND route",
            "WHERE tenant_id = :tenant AND route",
        ),
    ),
    code(
        "idempotency keys locked for all tenants",
        "test_carried_over.py::test_running_request_of_another_tenant_holds_no_key",
        Edit(
            _KEYS,
            '"idempotency|{tenant}|{self.principal}|{self.route}|{self.key}"',
            '"idempotency|{self.route}|{self.key}"',
        ),
    ),
    code(
        "log fields of the request before kept",
        "test_records.py::test_lines_and_spans_name_their_own_caller_only",
        Edit(
            f"{_COMMON}/web/middleware.py",
            'telemetry.log_fields.set({"request_id": request_id})',
            'telemetry.log_fields.set({**telemetry.log_fields.get({}), "request_id": request_id})',
        ),
    ),
)
_EVENTS = (
    code(
        "payloads may name another tenant",
        "test_events.py::test_a_payload_of_another_tenant_is_buried_and_does_nothing",
        Edit(_HANDLING, 'if getattr(event, "tenant_id", None) != envelope.tenant_id:', "if False:"),
    ),
    code(
        "the payload's tenant entered",
        "test_events.py::test_a_payload_of_another_tenant_is_buried_and_does_nothing",
        Edit(_HANDLING, 'if getattr(event, "tenant_id", None) != envelope.tenant_id:', "if False:"),
        Edit(
            _HANDLING,
            "context = self.context(envelope.tenant_id, envelope.event_id)\n            async",
            'context = self.context(getattr(event, "tenant_id"), envelope.event_id)\n            async',
        ),
    ),
    code(
        "the tenant of the event before entered",
        "test_events.py::test_events_of_two_tenants_by_turns_act_in_their_own",
        Edit(
            _HANDLING,
            'return SystemContext(tenant_id, "event",',
            'self._first = getattr(self, "_first", tenant_id)\n'
            '        return SystemContext(self._first, "event",',
        ),
    ),
    code(
        "the record's key not compared with its tenant",
        "test_events.py::test_records_that_name_two_tenants_or_none_do_nothing",
        Edit(
            f"{_COMMON}/contracts/envelope.py",
            "if key is None or key.decode() != tenant or value is None:",
            "if value is None:",
        ),
    ),
    code(
        "any service speaks for any other",
        "test_events.py::test_a_service_cannot_speak_for_another",
        Edit(f"{_COMMON}/contracts/envelope.py", "if not cls.comes_from(self.source):", "if False:"),
    ),
    code(
        "a service reports for another",
        "test_events.py::test_a_service_cannot_speak_for_another",
        Edit(
            f"{_COMMON}/contracts/envelope.py",
            'if getattr(event, "service", self.source) != self.source:',
            "if False:",
        ),
    ),
    code(
        "events obeyed on any topic",
        "test_events.py::test_an_event_on_the_topic_of_others_does_nothing",
        Edit(_HANDLING, "if topic != type(event).TOPIC:", "if False:"),
    ),
    code(
        "the inbox forgets",
        "test_events.py::test_the_same_id_in_two_tenants_is_two_events_and_twice_in_one_is_one",
        Edit(f"{_COMMON}/bus/inbox.py", "if result.rowcount == 1:", "if True:"),
    ),
    code(
        "events of other tenants written",
        "test_events.py::test_events_of_another_tenant_cannot_be_written",
        Edit(
            f"{_COMMON}/bus/outbox.py",
            'if getattr(event, "tenant_id", None) != context.tenant_id:',
            "if False:",
        ),
    ),
    code(
        "the audit log believes payloads",
        "test_events.py::test_the_log_believes_no_record_that_names_two_tenants",
        Edit(
            "services/audit/src/audit/ingest/intake.py",
            'elif getattr(event, "tenant_id", None) != envelope.tenant_id:',
            "elif False:",
        ),
    ),
)
_SESSIONS = (
    code(
        "the tenant entered once per session only",
        "test_sessions.py",
        Edit(
            _SESSION,
            "    if not transaction.nested:\n",
            '    if not transaction.nested and not session.info.get("entered"):\n'
            '        session.info["entered"] = True\n',
        ),
    ),
    code(
        "the tenant entered once per hot session only",
        "test_session_kinds.py",
        Edit(
            _HOT,
            "self._standing = await self._enter(",
            "self._standing = self._standing or await self._enter(",
        ),
    ),
    code(
        "a hot session's transaction left open for the next",
        "test_session_kinds.py",
        Edit(_HOT, "await raw.transaction().rollback()", 'await raw.execute("SELECT 1")'),
    ),
    code(
        "users whose standing ended served",
        "test_standing.py::test_a_session_that_ended_opens_nothing",
        Edit(
            _STANDING,
            'note_denial("refused")\n        raise EntryRefused\n',
            'note_denial("refused")\n',
        ),
    ),
    code(
        "hot reads go by the standing of before",
        "test_standing.py::test_a_session_that_ended_opens_nothing",
        Edit(_READING, "if heard is None or read_standing(heard) != self.standing:", "if heard is None:"),
    ),
    code(
        "hot refusals go by the standing of before",
        "test_standing.py::test_a_request_that_is_wrong_is_no_way_around_a_session_that_ended",
        Edit(
            f"{_COMMON}/web/hot.py",
            "    except ApiError:\n        await session.confirm()\n",
            "    except ApiError:\n",
        ),
    ),
    code(
        "everybody an owner",
        "test_standing.py::test_a_member_without_workspaces_is_served_by_reviewed_routes_only",
        Edit(_STANDING, "cast(TenantRole, role)", '"owner"'),
    ),
    code(
        "statements not narrowed to the tenant",
        "test_second_wall.py",
        Edit(_SESSION, "if state.is_select or state.is_update or state.is_delete:", "if False:"),
    ),
    code(
        "stored answers looked up in all tenants",
        "test_second_wall.py::test_stored_answers_are_found_by_their_owner_only",
        Edit(_KEYS, "WHERE tenant_id = :tenant AND principal = :principal AND route", "WHERE route"),
    ),
    code(
        "workspaces looked up in all tenants",
        "test_second_wall.py",
        Edit(
            _WORKSPACES,
            "WHERE w.tenant_id = $1 AND w.workspace_id",
            "WHERE $1::uuid IS NOT NULL AND w.workspace_id",
        ),
    ),
    code(
        "compiled statements not narrowed to the tenant",
        "test_second_wall.py::test_lists_hold_own_rows_only",
        Edit(_STATEMENTS, "lambda row: row.tenant_id == TENANT", "lambda row: TENANT == TENANT"),
    ),
    code(
        "a broken database served",
        "test_catalog.py::test_service_refuses_to_start_on_a_broken_database",
        Edit(f"{_COMMON}/db/catalog.py", "    if findings:\n", "    if False:\n"),
    ),
)
_ROLES = (
    code(
        "every workspace open",
        "test_routes.py::test_foreign_id_in_the_body_is_like_one_that_never_existed",
        Edit(_WORKSPACES, "        raise missing\n", '        return "admin"\n'),
    ),
    code(
        "roles in workspaces ignored",
        "test_standing.py::test_a_viewer_of_a_workspace_changes_nothing_in_it",
        Edit(_WORKSPACES, "if roles and role not in roles:", "if False:"),
    ),
    code(
        "every member sees all workspaces",
        "test_standing.py::test_a_member_without_workspaces_is_served_by_reviewed_routes_only",
        Edit(
            _WORKSPACES,
            'if session.standing.role != "member":\n        return None\n',
            "if session.standing.role:\n        return None\n",
        ),
    ),
    code(
        "roles in the tenant ignored",
        "test_standing.py::test_a_member_without_workspaces_is_served_by_reviewed_routes_only",
        Edit(f"{_COMMON}/web/deps.py", "if session.standing.role not in roles:", "if False:"),
    ),
    code(
        "routes without a class served",
        "test_surface.py::test_a_route_without_a_class_is_not_served",
        Edit(
            f"{_COMMON}/web/app.py",
            "if not isinstance(route, TenantRoute | PlatformRoute | PublicRoute | InternalRoute):",
            "if False:",
        ),
    ),
)
_RECORDS = (
    code(
        "misses not recorded",
        "test_records.py::test_every_miss_is_recorded_for_the_caller_only",
        Edit(
            _HANDLERS,
            "await kernel.access_log.missed(caller, info, Target(type=error.resource, id=error.text))",
            "pass",
        ),
    ),
    code(
        "misses at once recorded for one tenant",
        "test_records.py::test_misses_at_once_are_recorded_for_their_own_callers",
        Edit(
            f"{_COMMON}/bus/telling.py",
            "if event.tenant_id in self._waiting:\n            self._waiting[event.tenant_id].append(told)",
            "if self._waiting:\n            next(iter(self._waiting.values())).append(told)",
        ),
    ),
    code(
        "denials not recorded",
        "test_records.py::test_every_denial_is_recorded_for_the_caller_only",
        Edit(_HANDLERS, "    elif error.status in _RECORDED:\n", "    elif False:\n"),
    ),
    code(
        "misses tell what was missed",
        "test_routes.py::test_foreign_id_in_the_path_is_like_one_that_never_existed",
        Edit(_HANDLERS, '"detail": error.detail,', '"detail": error.detail + getattr(error, "text", ""),'),
    ),
    code(
        "reads of all tenants recorded in one",
        "test_records.py::test_reads_by_turns_are_recorded_for_their_own_callers",
        Edit(
            _ACCESS,
            "            tenants[tenant_id].append(record)",
            "            tenants[taken[0][0]].append(record)",
        ),
    ),
)

_ENDINGS = (
    code(
        "deleted tenants brought back",
        "test_erasure.py::test_late_events_bring_nothing_back",
        Edit(f"{_COMMON}/bus/inbox.py", "(:outlives OR NOT EXISTS", "(true OR NOT EXISTS"),
    ),
    code(
        "deleted tenants brought back by a run",
        "test_erasure.py::test_late_events_handled_together_bring_nothing_back",
        Edit(f"{_COMMON}/bus/inbox.py", "(run.outlives OR NOT EXISTS", "(true OR NOT EXISTS"),
    ),
    code(
        "stragglers not waited for",
        "test_erasure.py::test_whoever_began_before_the_deletion_is_waited_for",
        Edit(f"{_COMMON}/erasure.py", "AND xact_start < :fence", "AND xact_start < :fence AND false"),
    ),
    code(
        "suspended tenants write",
        "test_suspension.py::test_heads_read_and_nobody_writes",
        Edit(
            f"{_COMMON}/web/deps.py",
            'if request.method not in READS or standing.role == "member":',
            "if False:",
        ),
    ),
)

CODE_MUTATIONS = (
    *NAMED_TENANTS,
    *TOKEN_CHECKS,
    *_CARRIED_OVER,
    *_EVENTS,
    *_SESSIONS,
    *_ROLES,
    *_RECORDS,
    *_ENDINGS,
)
