"""redis-semaphore: a mutex that is held while the primary dies stays taken."""

from nodes import NODE, needs_node

needs_node()


def test_one_at_a_time(site):
    program = site.program(*NODE, "node/semaphore.js")
    site.wait_for_lines("ended", bool, 60, [program])
    site.heir()
    assert site.lines("entered") == ["1"] * 60
    assert site.lines("ended") == ["the mutex is free"]
