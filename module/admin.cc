// FaHA's own commands, FAHA.*, and the answer to refused commands.
#include <memory>

#include "module/commands.h"
#include "module/node_status.h"
#include "module/peer_names.h"
#include "module/roles.h"
#include "module/waiters.h"

namespace faha::module::admin {
namespace {

constexpr std::int64_t kPromoteMs = 10'000;

Reply BadPort() { return Reply::Error("ERR the port is a number from 1 to 65535"); }

Reply CannotWait(std::string_view command) {
  return Reply::Error("ERR " + std::string(command) + " waits for other nodes and cannot do so in a transaction");
}

// The address by which the other nodes know the member that `name` means; `name` itself if it means no member.
Endpoint Announced(const Call& call, const Endpoint& name) {
  const StoreInfo info = call.store().Info();
  const Member* member = ThePeerNames().Find(info.members, name);
  return member == nullptr ? name : member->Redis();
}

}  // namespace

Reply GetStatus(Call& call) {
  ReplyStatus(call.ctx());
  return Reply::Sent();
}

// FAHA.PROMOTE [milliseconds | FORCE]
Reply Promote(Call& call) {
  if (call.size() > 2) return Reply::Error("ERR wrong number of arguments for 'faha.promote' command");
  const bool force = call.size() == 2 && call.Is(1, "force");
  const auto patience = call.size() == 2 && !force ? ParseInteger(call.arg(1)) : std::optional(kPromoteMs);
  if (!patience || *patience < 0 || *patience > 3600'000) {
    return Reply::Error("ERR the patience is a number of milliseconds from 0 to 3600000");
  }
  if (!MayBlock(call)) return CannotWait("FAHA.PROMOTE");
  // An empty node that leads is a cluster of its own beside the one that it was to join.
  const StoreInfo info = call.store().Info();
  const auto joins = info.blank && info.role == Role::kBackup ? RedisReplicates(call.ctx()).primary : std::nullopt;
  if (joins) {
    return Reply::Error(
        Status{Code::kNoPromise, "this node holds nothing and has not joined the cluster of " + joins->ToString() +
                                     " yet: promote a member; REPLICAOF NO ONE makes this node a cluster of its own"});
  }
  TheRoles().ForgetOrder();
  Reply reply = AwaitOutcome(call, [&](const Outcome& done) {
    force ? call.store().Force(done) : call.store().Promote(std::chrono::milliseconds(*patience), done);
  });
  // If the outcome is known already, the client that hears it must find Redis' own role changed as well.
  TheRoles().Align(call.ctx());
  return reply;
}

// FAHA.FORGET host port
Reply Forget(Call& call) {
  const auto port = ParseInteger(call.arg(2));
  if (!port || *port <= 0 || *port > 65535) return BadPort();
  const Status status =
      call.store().Forget(Announced(call, {std::string(call.arg(1)), static_cast<std::uint16_t>(*port)}));
  return status.ok() ? Reply::Ok() : Reply::Error(status);
}

// FAHA.FAILOVER [TO host port]
Reply Failover(Call& call) {
  std::optional<Endpoint> target;
  if (call.size() == 4 && call.Is(1, "to")) {
    const auto port = ParseInteger(call.arg(3));
    if (!port || *port <= 0 || *port > 65535) return BadPort();
    target = Announced(call, {std::string(call.arg(2)), static_cast<std::uint16_t>(*port)});
  } else if (call.size() != 1) {
    return Call::SyntaxError();
  }
  if (!MayBlock(call)) return CannotWait("FAHA.FAILOVER");
  Reply reply = AwaitOutcome(call, [&](const Outcome& done) { call.store().HandOver(target, done); });
  // If the outcome is known already, the client that hears it must find Redis' own role changed as well.
  TheRoles().Align(call.ctx());
  return reply;
}

// REPLICAOF and SLAVEOF: Redis' role follows once FaHA's role has changed.
Reply ReplicaOf(Call& call) {
  if (call.Is(1, "no") && call.Is(2, "one")) {
    TheRoles().OrderToLead(call.ctx());
  } else {
    const auto port = ParseInteger(call.arg(2));
    if (!port || *port < 0 || *port > 65535) return Reply::Error("ERR Invalid master port");
    const Endpoint primary{std::string(call.arg(1)), static_cast<std::uint16_t>(*port)};
    if (const Status status = TheRoles().OrderToFollow(call.ctx(), primary); !status.ok()) return Reply::Error(status);
  }
  TheRoles().Align(call.ctx());
  return Reply::Ok();
}

// FAHA.REFUSE line command [argument ...]: the filter turns a command that FaHA does not serve, or that must not run
// now, into this.
Reply Refuse(Call& call) {
  // The arguments of MIGRATE may hold a password.
  for (int i = 3; i < call.size() && call.Is(2, "migrate"); ++i) RedisModule_RedactClientCommandArgument(call.ctx(), i);
  return Reply::Error(std::string(call.arg(1)));
}

}  // namespace faha::module::admin
