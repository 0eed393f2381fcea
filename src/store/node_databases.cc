// Fewer databases than the log has: clients of such a node could not name some of the keys.  See node.h.
#include <fmt/format.h>

#include <utility>

#include "store/node.h"

namespace faha {

Status Node::CheckDatabases() const {
  const std::uint32_t needed = engine_->Databases();
  if (needed <= options_.databases) return Status::Ok();
  return {Code::kBadConfig,
          fmt::format("databases is {}, but database {} holds keys, which nobody would see and FLUSHALL would erase: "
                      "set databases to {} or more and start the server again; no key was changed",
                      options_.databases, needed - 1, needed)};
}

// A backup goes on as a copy, which is as good as any other, but it does not lead.  A primary's own clients cannot
// write where nobody can read, so that nothing changes in its term.
void Node::LookAtDatabases() {
  Status status = CheckDatabases();
  if (!std::exchange(hides_, !status.ok()) && !status.ok()) Remember(status);
}

}  // namespace faha
