// What an operator can set.  The module maps each field to one `faha.*` config.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

#include "faha/types.h"

namespace faha {

enum class LogLevel { kDebug, kVerbose, kNotice, kWarning };
using LogSink = std::function<void(LogLevel, std::string_view line)>;

// PEM files, as in Redis' settings tls-cert-file, tls-key-file, tls-key-file-pass, tls-ca-cert-file and
// tls-ca-cert-dir.
struct TlsFiles {
  std::string certificate, key, key_pass, ca_file, ca_dir;
};

struct Options {
  // The pool: a file (created when absent) or a device DAX node.
  std::string pool_path = "faha.pool";
  std::uint64_t pool_bytes = 1ULL << 30;    // the pool's size, unless it is larger already
  std::uint64_t segment_bytes = 0;          // of a new pool; bounds the largest value; 0: depends on the pool's size
  std::string persistence_domain = "auto";  // auto, volatile, page, cacheline, cpu_cache

  // Where the index is written at a planned stop and read at the next start; empty: nowhere.
  std::string checkpoint_path;

  // The feature level that this node offers to its cluster.
  FeatureLevel feature_level = kHighestLevel;

  // How many databases clients can name.  A node that holds keys in other databases does not serve: no client would see
  // those keys, and a flush would erase them.
  std::uint32_t databases = std::uint32_t{std::numeric_limits<DbId>::max()} + 1;

  // DRAM for copies of what is read most often, in bytes; less than 1 MiB means none.
  std::uint64_t hot_bytes = 64ULL << 20;

  // A collection that is larger is no longer packed into one record: each of its elements becomes a record.
  std::uint32_t packed_bytes = 512;
  std::uint32_t packed_elements = 128;

  // Committing.
  std::uint32_t batch_bytes = 64U << 10;  // an open batch is sealed when it has grown past this
  std::uint32_t batch_depth = 1024;       // at most so many batches are on their way to a backup, not acknowledged yet
  bool backup_reads = false;              // backups serve reads of committed data, which is stale by at most a lease
  std::uint32_t min_acks = 0;             // persistent copies wanted, including this node's; never less than a majority
  std::chrono::milliseconds persist_timeout{1000};
  std::chrono::milliseconds lease{1000};

  // The transport of the batches: tcp, rdma, or auto (RDMA where both ends have it).  Control is always TCP.
  std::string fabric = "auto";
  // How long a commit, or a backup between two batches, polls the RDMA device before it sleeps.
  std::chrono::microseconds rdma_spin{50};

  // The network.  `bind` is a loopback address unless there is a secret.  Peers must prove that they know the secret.
  std::string secret;
  std::string secret_file;   // its first line is the secret; set at most one of the two
  std::string tls = "auto";  // yes, no, or auto: as the server's own replication does, or no without a server
  TlsFiles tls_files;        // the server's
  std::string bind = "127.0.0.1";
  std::string announce_host = "127.0.0.1";
  std::string peer_host;              // where the other nodes reach this one; empty: at announce_host
  std::uint16_t port = 0;             // 0: no replication
  std::uint16_t peer_port = 0;        // where the other nodes reach this one; 0: at port
  std::uint16_t redis_port = 0;       // told to peers and clients
  std::uint16_t port_offset = 10000;  // a peer's replication port minus its Redis port

  // Does a backup that misses its primary ask Redis Sentinel to fail over at once?  The password is Sentinel's own, if
  // Sentinel has one.
  bool sentinel_failover = true;
  std::string sentinel_password;

  LogSink log = [](LogLevel, std::string_view) {};
};

}  // namespace faha
