// The seam to persistent memory.  Thread: main loop only.
// Two words carry the meaning: Write = copied (readable through bytes(), lost at a power failure);
// Drain = durable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "faha/status.h"

namespace faha {

// What makes a store durable.  Declared by the node that owns the medium, never guessed by a peer.
enum class PersistenceDomain : std::uint8_t {
  kVolatile = 0,   // nothing: tests only
  kPage = 1,       // fdatasync
  kCacheLine = 2,  // ADR: non-temporal store or clwb, then fence
  kCpuCache = 3,   // eADR: fence
};
std::string_view DomainName(PersistenceDomain domain);

// How a Write or a Drain ended: well, or with an IoError and nothing else.  What the system's reason was does not
// matter, a full file system included: the log has moved on, nobody knows how much was copied, and the owner must fence
// itself.
class [[nodiscard]] IoStatus : public Status {
 public:
  IoStatus() = default;
  explicit IoStatus(std::string what) : Status(Code::kIoError, std::move(what)) {}
  static IoStatus Ok() { return {}; }
};

class Media {
 public:
  virtual ~Media() = default;

  // The whole medium, readable at any time; only Grow() moves it.
  [[nodiscard]] virtual std::span<const std::byte> bytes() const = 0;

  // Copies `data` to `offset` (bytes).  Readable at once, durable after the next Drain().
  // The range must lie within bytes().
  // Errors: IoError - how much was copied is unknown; the caller must fence itself.
  virtual IoStatus Write(std::uint64_t offset, std::span<const std::byte> data) = 0;

  // Where a peer's device may store bytes by itself; empty where that is no way to write to this medium.
  [[nodiscard]] virtual std::span<std::byte> shared() { return {}; }

  // A peer's device has stored `size` bytes at `offset` of shared(): as if Write had copied them there.
  virtual void Landed(std::uint64_t offset, std::size_t size) = 0;

  // Makes every earlier Write durable.
  // Errors: IoError - what is durable is unknown; the caller must fence itself.
  virtual IoStatus Drain() = 0;

  // Makes the medium `bytes` large; what it held stays, zeros follow.  One of a fixed size, or larger, stays as it is.
  // Durable on return.  For whoever opens the medium, before anybody else knows of bytes() or shared().
  // Errors: NoSpace, IoError - the medium is as it was.
  virtual Status Grow(std::uint64_t bytes) = 0;

  [[nodiscard]] virtual PersistenceDomain domain() const = 0;
  // The unit (bytes, a power of two >= 64) the medium writes without reading first.
  [[nodiscard]] virtual std::uint32_t granule() const = 0;
};

}  // namespace faha
