"""Pure rules of roles: nobody gives, takes or touches more than they have."""

_RANKS = {"member": 0, "admin": 1, "owner": 2}


def may_manage(actor_role: str, role: str) -> bool:
    """Whether somebody with `actor_role` may give or take `role`."""
    return _RANKS[actor_role] >= max(_RANKS[role], _RANKS["admin"])
