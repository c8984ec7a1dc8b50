"""What counts as one client on the network."""

from ipaddress import IPv6Address, IPv6Network, ip_address


def network_of(ip: str) -> str:
    """One source: an IPv4 address, or the /64 that an IPv6 customer has to itself; else the text."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ip
    if not isinstance(address, IPv6Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped or IPv6Network((int(address) >> 64 << 64, 64)))
