"""rate-limiter-flexible: what was granted counts after a failover, and counts once."""

from nodes import NODE, needs_node

needs_node()


def test_what_was_granted_counts(site):
    program = site.program(*NODE, "node/limiter.js")
    site.wait_for_lines("ended", bool, 60, [program])
    site.heir()
    # No two were on their way when the primary died, so that none may count twice though ioredis sends it again.
    assert site.lines("granted") == [str(count) for count in range(1, 101)]
    assert site.lines("refused") == [str(count) for count in range(101, 121)]
