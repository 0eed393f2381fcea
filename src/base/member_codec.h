// Members as bytes: the same in the log and on the wire.  Thread: any.
#pragma once

#include "base/bytes.h"
#include "faha/types.h"

namespace faha {

inline constexpr std::size_t kMaxMembers = 64;

inline void WriteMember(ByteWriter& out, const Member& member) {
  out.Id(member.id);
  out.String(member.host);
  out.U16(member.port);
  out.U16(member.redis_port);
  out.U64(member.pool_bytes);
}

inline bool ReadMember(ByteReader& in, Member& member) {
  return in.Id(member.id) && in.String(member.host, kMaxHostBytes) && in.U16(member.port) &&
         in.U16(member.redis_port) && in.U64(member.pool_bytes);
}

inline void WriteMembers(ByteWriter& out, const Members& members) {
  FAHA_CHECK(members.size() <= kMaxMembers, "a cluster has few members");
  out.U16(static_cast<std::uint16_t>(members.size()));
  for (const Member& member : members) WriteMember(out, member);
}

inline bool ReadMembers(ByteReader& in, Members& members) {
  std::uint16_t count = 0;
  if (!in.U16(count) || count > kMaxMembers) return false;
  members.resize(count);
  for (Member& member : members) {
    if (!ReadMember(in, member)) return false;
  }
  return true;
}

}  // namespace faha
