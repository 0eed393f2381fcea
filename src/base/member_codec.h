// Members as bytes, in the log and on the wire.  Thread: any.
#pragma once

#include "base/bytes.h"
#include "faha/types.h"

namespace faha {

inline constexpr std::size_t kMaxMembers = 64;

// The fields of level 1.
inline void WriteMember(ByteWriter& out, const Member& member) {
  out.Id(member.id);
  out.String(member.host);
  out.U16(member.port);
  out.U16(member.redis_port);
  out.U64(member.pool_bytes);
}

inline bool ReadMember(ByteReader& in, Member& member) {
  member.peer_host.clear();
  return in.Id(member.id) && in.String(member.host, kMaxHostBytes) && in.U16(member.port) &&
         in.U16(member.redis_port) && in.U64(member.pool_bytes);
}

// The form of a member on the wire, and in a configuration from level 2 on: 16 bits of length, then so many bytes.  A
// later release may add fields at the end, which a reader skips.
inline void WriteSizedMember(ByteWriter& out, const Member& member) {
  ByteWriter fields;
  WriteMember(fields, member);
  fields.String(member.peer_host);
  out.U16(static_cast<std::uint16_t>(fields.size()));
  out.Raw(fields.bytes());
}

inline bool ReadSizedMember(ByteReader& in, Member& member) {
  std::uint16_t size = 0;
  std::span<const std::byte> bytes;
  if (!in.U16(size) || !in.Raw(size, bytes)) return false;
  ByteReader fields(bytes);
  if (!ReadMember(fields, member)) return false;
  return fields.AtEnd() || fields.String(member.peer_host, kMaxHostBytes);
}

inline void WriteMembers(ByteWriter& out, const Members& members, void (*write)(ByteWriter&, const Member&)) {
  FAHA_CHECK(members.size() <= kMaxMembers, "a cluster has few members");
  out.U16(static_cast<std::uint16_t>(members.size()));
  for (const Member& member : members) write(out, member);
}

inline bool ReadMembers(ByteReader& in, Members& members, bool (*read)(ByteReader&, Member&)) {
  std::uint16_t count = 0;
  if (!in.U16(count) || count > kMaxMembers) return false;
  members.resize(count);
  for (Member& member : members) {
    if (!read(in, member)) return false;
  }
  return true;
}

inline void WriteForks(ByteWriter& out, const Forks& forks) {
  FAHA_CHECK(forks.size() <= kMaxForks, "older forks were dropped");
  out.U16(static_cast<std::uint16_t>(forks.size()));
  for (const Fork& fork : forks) {
    out.Id(fork.id);
    out.U64(fork.end.epoch.value);
    out.U64(fork.end.lsn.value);
  }
}

inline bool ReadForks(ByteReader& in, Forks& forks) {
  std::uint16_t count = 0;
  if (!in.U16(count) || count > kMaxForks) return false;
  forks.resize(count);
  for (Fork& fork : forks) {
    if (!in.Id(fork.id) || !in.U64(fork.end.epoch.value) || !in.U64(fork.end.lsn.value)) return false;
  }
  return true;
}

// A configuration as a kConfig record holds it.  At level 1 it is the members alone; otherwise it is kLeveled, the
// level and the members, and from kForksLevel on the forks and the members that were left out.
inline constexpr std::uint16_t kLeveled = 0xffff;  // more than kMaxMembers

inline void WriteConfiguration(ByteWriter& out, const Configuration& configuration) {
  if (configuration.level == kLowestLevel) return WriteMembers(out, configuration.members, WriteMember);
  out.U16(kLeveled);
  out.U16(configuration.level);
  WriteMembers(out, configuration.members, WriteSizedMember);
  if (configuration.level < kForksLevel) return;
  WriteForks(out, configuration.forks);
  WriteMembers(out, configuration.left_out, WriteSizedMember);
}

// Reads a configuration of any level: the caller has to check whether the level is too high.  A level that this release
// does not know may have more at the end.
inline bool ReadConfiguration(ByteReader in, Configuration& configuration) {
  ByteReader leveled = in;
  std::uint16_t first = 0;
  configuration.level = kLowestLevel;
  configuration.forks.clear();
  configuration.left_out.clear();
  if (!leveled.U16(first) || first != kLeveled) return ReadMembers(in, configuration.members, ReadMember) && in.AtEnd();
  return leveled.U16(configuration.level) && configuration.level > kLowestLevel &&
         ReadMembers(leveled, configuration.members, ReadSizedMember) &&
         (configuration.level < kForksLevel ||
          (ReadForks(leveled, configuration.forks) && ReadMembers(leveled, configuration.left_out, ReadSizedMember))) &&
         (configuration.level > kHighestLevel || leveled.AtEnd());
}

}  // namespace faha
