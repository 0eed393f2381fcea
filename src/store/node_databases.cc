// This node is configured with fewer databases than the log has: its clients could not name some of the keys.  See
// node.h.
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

// A backup goes on as a copy, which is as good as any other copy, but it does not lead.  The clients of a primary
// cannot write to databases that they cannot read, so the answer does not change during its term.
void Node::LookAtDatabases() {
  Status status = CheckDatabases();
  if (!std::exchange(hides_, !status.ok()) && !status.ok()) health_.Remember(status);
}

}  // namespace faha
