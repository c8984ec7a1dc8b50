"""What code may rely on in a database, and what the database demands of code, as read from its catalog."""

from dataclasses import dataclass

import asyncpg

_OWN = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') AND n.nspname NOT LIKE 'pg\\_%'"

_OFFERS = {
    "column": f"""
        SELECT format('%s.%s.%s', n.nspname, c.relname, a.attname), format_type(a.atttypid, a.atttypmod)
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped AND {_OWN}""",
    "function": f"""
        SELECT p.oid::regprocedure::text, p.proretset || ' ' || pg_get_function_result(p.oid)
        FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {_OWN}""",
    "policy": f"""
        SELECT format('%s.%s: %s', n.nspname, c.relname, p.polname),
            format('%s %s %s %s', p.polcmd, p.polroles::regrole[],
                pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid))
        FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE p.polpermissive AND {_OWN}""",
    "grant": f"""
        SELECT format('%s of %s to %s', x.privilege_type, g.object, coalesce(r.rolname, 'PUBLIC')), ''
        FROM (
            SELECT format('%s.%s', n.nspname, c.relname) AS object, c.relacl AS acl
            FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE {_OWN}
            UNION ALL
            SELECT p.oid::regprocedure::text, p.proacl
            FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE {_OWN}
            UNION ALL
            SELECT n.nspname, n.nspacl FROM pg_namespace AS n WHERE {_OWN}
        ) AS g CROSS JOIN LATERAL aclexplode(g.acl) AS x LEFT JOIN pg_roles AS r ON r.oid = x.grantee""",
    "column grant": f"""
        SELECT format('%s of %s.%s.%s to %s', x.privilege_type, n.nspname, c.relname, a.attname,
            r.rolname), ''
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL aclexplode(a.attacl) AS x JOIN pg_roles AS r ON r.oid = x.grantee
        WHERE a.attnum > 0 AND NOT a.attisdropped AND {_OWN}""",
}
"""What older code may use: it must stay, and stay as it is. Name and meaning."""

_DEMANDS = {
    "value needed": f"""
        SELECT format('%s.%s', n.nspname, c.relname), a.attname, '', ARRAY[a.attname::text]
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull
            AND NOT a.atthasdef AND a.attidentity = '' AND {_OWN}""",
    "null refused": f"""
        SELECT format('%s.%s', n.nspname, c.relname), a.attname, '', ARRAY[a.attname::text]
        FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND {_OWN}""",
    "constraint": f"""
        SELECT format('%s.%s', n.nspname, c.relname), k.conname, pg_get_constraintdef(k.oid),
            ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey))
        FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE k.contype IN ('c', 'u', 'p', 'f', 'x') AND {_OWN}""",
    "unique index": f"""
        SELECT format('%s.%s', n.nspname, c.relname), o.relname, pg_get_indexdef(i.indexrelid),
            ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey))
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_class AS o ON o.oid = i.indexrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE i.indisunique AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = o.oid)
            AND {_OWN}""",
    "trigger": f"""
        SELECT format('%s.%s', n.nspname, c.relname), t.tgname, pg_get_triggerdef(t.oid), '{{}}'::text[]
        FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT t.tgisinternal AND {_OWN}""",
    "restrictive policy": f"""
        SELECT format('%s.%s', n.nspname, c.relname), p.polname,
            format('%s %s %s %s', p.polcmd, p.polroles::regrole[],
                pg_get_expr(p.polqual, c.oid), pg_get_expr(p.polwithcheck, c.oid)), '{{}}'::text[]
        FROM pg_policy AS p JOIN pg_class AS c ON c.oid = p.polrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE NOT p.polpermissive AND {_OWN}""",
}
"""What older code may break: none may be new on a table that it knows. Table, name, meaning, columns."""


@dataclass(frozen=True, slots=True)
class Demand:
    kind: str
    table: str
    name: str
    meaning: str
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalog:
    offers: dict[str, str]
    """What it is about, and how it is."""
    demands: frozenset[Demand]

    def columns_of(self, table: str) -> set[str]:
        prefix = f"column {table}."
        return {offer.removeprefix(prefix) for offer in self.offers if offer.startswith(prefix)}


async def read(connection: asyncpg.Connection) -> Catalog:
    offers = {
        f"{kind} {name}": str(meaning)
        for kind, statement in _OFFERS.items()
        for name, meaning in await connection.fetch(statement)
    }
    demands = [
        Demand(kind, table, name, meaning, frozenset(columns))
        for kind, statement in _DEMANDS.items()
        for table, name, meaning, columns in await connection.fetch(statement)
    ]
    return Catalog(offers, frozenset(demands))


def breaks(before: Catalog, after: Catalog) -> set[str]:
    """What code that was written for `before` may trip over in `after`."""
    found = {
        f"{offer}: gone" if offer not in after.offers else f"{offer}: {meaning} became {after.offers[offer]}"
        for offer, meaning in before.offers.items()
        if after.offers.get(offer) != meaning
    }
    return found | {
        f"{demand.kind} {demand.table}.{demand.name}: new"
        for demand in after.demands - before.demands
        if _concerns_older_code(demand, before, after)
    }


def _concerns_older_code(demand: Demand, before: Catalog, after: Catalog) -> bool:
    """Whether code that knows the table, but none of its new columns, can break the demand."""
    known = before.columns_of(demand.table)
    if demand.kind == "null refused":
        return demand.name in known
    if demand.kind == "value needed" or not demand.columns:
        return bool(known)
    if demand.meaning.startswith(("FOREIGN KEY", "UNIQUE", "CREATE UNIQUE")):
        # A null in one of the columns is enough, and older code leaves new columns null.
        filled = {
            other.name
            for other in after.demands
            if other.kind == "null refused" and other.table == demand.table
        }
        return bool(known) and demand.columns <= known | filled
    return bool(known & demand.columns)
