// The vocabulary of FaHA: positions, identities and members are types of their own, never bare integers.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace faha {

// A batch's place in the history: 1, 2, 3, ...  0 is "before the first batch".
struct Lsn {
  std::uint64_t value = 0;
  auto operator<=>(const Lsn&) const = default;
  [[nodiscard]] Lsn Next() const { return Lsn{value + 1}; }
};

// A primary's term of office.  At most one primary exists per epoch.  0 is "none".
struct Epoch {
  std::uint64_t value = 0;
  auto operator<=>(const Epoch&) const = default;
  [[nodiscard]] Epoch Next() const { return Epoch{value + 1}; }
};

// How far a log reaches.  Log ends are compared as in Raft: first the last batch's epoch, then its LSN.
struct LogEnd {
  Epoch epoch;
  Lsn lsn;
  auto operator<=>(const LogEnd&) const = default;
};

// A byte offset into the pool, which is equal on every node of a cluster.  0 (the superblock) means "none".
struct LogAddress {
  std::uint64_t value = 0;
  auto operator<=>(const LogAddress&) const = default;
  [[nodiscard]] bool IsNone() const { return value == 0; }
  [[nodiscard]] LogAddress operator+(std::uint64_t bytes) const { return LogAddress{value + bytes}; }
};

// The number of a Redis database, as in SELECT.
using DbId = std::uint16_t;
// A database that no client can name.  It keeps data that are not keys of clients.  The number above it means "all
// databases" in a flush record.
inline constexpr DbId kHiddenDb = 65534;

// Milliseconds since the Unix epoch.  kNoExpiry: the key does not expire.
using TimeMs = std::int64_t;
inline constexpr TimeMs kNoExpiry = 0;

// What the value of a key is.  The numbers stand in the log, so they never change.
enum class ValueType : std::uint8_t { kString = 0, kHash = 1, kSet = 2, kSortedSet = 3, kList = 4 };
inline constexpr ValueType kLastValueType = ValueType::kList;
// As Redis' TYPE calls it.
constexpr const char* NameOf(ValueType type) {
  switch (type) {
    case ValueType::kString: return "string";
    case ValueType::kHash: return "hash";
    case ValueType::kSet: return "set";
    case ValueType::kSortedSet: return "zset";
    case ValueType::kList: return "list";
  }
  return "unknown";
}

// Names a large collection, whose elements are records of their own.  No two collections of a log ever have the same
// name: it is made of the LSN that the next batch had when the collection was begun, and a number.
struct CollectionId {
  std::uint64_t born = 0;
  std::uint32_t number = 0;
  auto operator<=>(const CollectionId&) const = default;
};

// 128 random bits that name a node or a cluster.  All zero is "nobody".
struct Uuid {
  std::array<std::uint8_t, 16> bytes{};
  auto operator<=>(const Uuid&) const = default;
  [[nodiscard]] bool IsNone() const { return *this == Uuid{}; }
  // 32 lower-case hexadecimal digits.
  [[nodiscard]] std::string ToString() const;
};
using NodeId = Uuid;
using ClusterId = Uuid;

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
  // host:port
  [[nodiscard]] std::string ToString() const;
};

// One voting node: where its replication port and its Redis port can be reached, and how large its pool is.
struct Member {
  NodeId id;
  std::string host;              // for clients, and for nodes as well where peer_host is empty
  std::uint16_t port = 0;        // FaHA's replication port
  std::uint16_t redis_port = 0;  // where Redis clients connect
  std::uint64_t pool_bytes = 0;  // of its pool; a pool never shrinks
  std::string peer_host = {};    // where the other nodes reach it, from level 2 on
  auto operator<=>(const Member&) const = default;
  [[nodiscard]] Endpoint Replication() const { return {peer_host.empty() ? host : peer_host, port}; }
  [[nodiscard]] Endpoint Redis() const { return {host, redis_port}; }
};
using Members = std::vector<Member>;

// A feature level says what may be on media and on the wire beyond what every release knows.  A release reads all
// levels up to its highest one, and it offers that one.  A cluster is at one level, which is stored in its
// configuration: the primary raises it when every member is connected and offers more.  Before that, every member may
// go back to its earlier release.  The level never falls: after it was raised, a node that offers less is not admitted,
// and an earlier release refuses to open the pools.
//
//   1  what there was before levels were introduced
//   2  a member may have an address for the other nodes in addition to the one for clients, and a record has checks
//   3  a value may be of another type than string, and a configuration says where the cluster's history has forked
//   4  the elements of a collection may be records
using FeatureLevel = std::uint16_t;
inline constexpr FeatureLevel kLowestLevel = 1;
inline constexpr FeatureLevel kHighestLevel = 4;  // of this release
inline constexpr FeatureLevel kPeerHostLevel = 2;
inline constexpr FeatureLevel kRecordChecksLevel = 2;
inline constexpr FeatureLevel kValueTypesLevel = 3;
inline constexpr FeatureLevel kForksLevel = 3;
inline constexpr FeatureLevel kElementsLevel = 4;

// A node was forced to lead alone (FAHA.PROMOTE FORCE) when its log ended at `end`.  What other nodes have committed
// behind that LSN, or in an epoch later than that of `end`, is not a part of the history that the forced node has
// begun.
struct Fork {
  Uuid id;  // random
  LogEnd end;
  auto operator<=>(const Fork&) const = default;
};
// The forks of a history, the oldest first, at most kMaxForks: see WithFork().
using Forks = std::vector<Fork>;
inline constexpr std::size_t kMaxForks = 16;

// Who the members of the cluster are, the feature level that all of them know, and from kForksLevel on the forks of the
// history that the log tells and who was a member before a fork and has not become one again.
struct Configuration {
  Members members;
  FeatureLevel level = kLowestLevel;
  Forks forks = {};
  Members left_out = {};
  auto operator<=>(const Configuration&) const = default;
};

}  // namespace faha
