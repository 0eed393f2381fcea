// Gate::Pass: see gate.h.
#pragma once

#include <cstdlib>

#include "module/call.h"
#include "module/gate.h"

namespace faha::module {

template <bool kWrites, Reply (*kRun)(Call&)>
int Gate::Pass(Call& call) {
  const bool inside = BeginCommand(call.ctx());
  Status status = inside ? CommitInside() : Status::Ok();
  if (status.ok()) status = kWrites ? call.store().CheckWrite(0, 0) : call.store().CheckRead();
  // Deletes need no room, because deletes are how a full pool is emptied.
  if (!status.ok() && status.code() != Code::kNoSpace) return Refuse(call, status, kWrites);
  Reply reply = kRun(call);
  if (!call.refused().ok()) reply = Reply::Error(call.refused());
  // A handler of a data command that has replied by itself has done so before its commit.
  if (reply.kind() == Reply::Kind::kSent) std::abort();
  status = call.store().CheckTold();
  if (kWrites && inside && status.ok()) {
    reply.Own();
    status = CommitInside();
  }
  return status.ok() ? reply.SendTo(call.ctx()) : Reply::Error(status).SendTo(call.ctx());
}

}  // namespace faha::module
