// The protocols that are compared: how a sealed batch becomes persistent on the backups.
//   write-read    WRITE, wait, READ, wait: the READ pushes the bytes out of the devices; the backup's processor sleeps
//   write-send    WRITE, wait, SEND, wait: the backup flushes what the message names and answers
//   write+read    WRITE and READ in one doorbell: one round trip, two operations; the backup's processor sleeps
//   persist       FaHA's Persist RPC, by the product's own fabric and log; batches land at their place in the pool
//   persist-flush the same, where the devices can: what they flush natively counts without the backup's processor
//   persist-ring  the same, through a ring in the backup's memory
//   unbatched     persist, but every record is a batch of its own
//   tcp           the same as persist, over TCP
//   bare-send     a SEND of the batch and a SEND back: nothing is persistent, it is what the device needs for itself
// Thread: one, that of main.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "faha/types.h"
#include "log/log.h"

namespace faha::bench {

enum class Protocol {
  kWriteRead,
  kWriteSend,
  kWriteAndRead,
  kPersist,
  kPersistFlush,
  kPersistRing,
  kUnbatched,
  kTcp,
  kBareSend
};

// The primary's side, with all its backups.
class Shipping {
 public:
  virtual ~Shipping() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  // Returns when `count` backups have connected.  Ends the process if they do not.
  virtual void AwaitBackups(std::size_t count) = 0;
  // Can the protocol be run with the backups that have connected?
  [[nodiscard]] virtual bool Possible() const { return true; }
  // Posts `batch` to every backup.
  virtual void Post(const LocatedBatch& batch) = 0;
  // Looks for answers; returns up to which LSN every backup has it.
  virtual Lsn Durable() = 0;
};

struct Peer {
  Protocol protocol = Protocol::kPersist;
  std::string host;
  std::uint16_t port = 0;
  std::chrono::microseconds spin{0};  // how long the fabric looks before it sleeps
};

// `log`: the primary's; it must outlive what is returned.
std::unique_ptr<Shipping> ShipOverFabric(const Peer& self, Log* log);
std::unique_ptr<Shipping> ShipOverVerbs(const Peer& self, Log* log);

// A backup's side: serves the primary until standard input ends.
void ServeOverFabric(const Peer& primary, Log* log);
void ServeOverVerbs(const Peer& primary, Log* log);

}  // namespace faha::bench
