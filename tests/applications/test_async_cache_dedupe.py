"""async-cache-dedupe: what was found before a failover is not looked for after it, and is forgotten when it should be."""

from nodes import NODE, needs_node

needs_node()
ENTRIES = 200


def test_nothing_is_looked_for_twice(site):
    program = site.program(*NODE, "node/cache.js")
    site.wait_for_lines("ended", bool, 60, [program])
    site.heir()
    found = site.lines("found")
    assert found[:ENTRIES] == [str(number) for number in range(ENTRIES)]
    assert found[ENTRIES:] == ["half of it is forgotten", *(str(number) for number in range(1, ENTRIES, 2))]
