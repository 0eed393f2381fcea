// The seam to persistent memory.  Thread: main loop only.
// Two words matter: Write = copied (readable through bytes(), but lost at a power failure);
// Drain = durable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faha/status.h"

namespace faha {

// What makes a store to the medium durable.  The node that owns the medium declares it; a peer never guesses it.
enum class PersistenceDomain : std::uint8_t {
  kVolatile = 0,   // nothing: tests only
  kPage = 1,       // fdatasync
  kCacheLine = 2,  // ADR: non-temporal store or clwb, then fence
  kCpuCache = 3,   // eADR: fence
};
std::string_view DomainName(PersistenceDomain domain);

// How a Write or a Drain ended: well, or with an IoError and nothing else.  The reason that the system gave, even a
// full file system, does not matter: the log has moved on, nobody knows how much was copied, and the owner must fence
// itself.
class [[nodiscard]] IoStatus : public Status {
 public:
  IoStatus() = default;
  explicit IoStatus(std::string what) : Status(Code::kIoError, std::move(what)) {}
  static IoStatus Ok() { return {}; }
};

// A part of a medium, in bytes.
struct MediaRange {
  std::uint64_t offset = 0, bytes = 0;
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

  // The memory in which a peer's device may store bytes by itself; empty if this medium cannot be written in that way.
  [[nodiscard]] virtual std::span<std::byte> shared() { return {}; }

  // A peer's device has stored `size` bytes at `offset` of shared(): the effect is as if Write had copied them there.
  virtual void Landed(std::uint64_t offset, std::size_t size) = 0;

  // Makes every earlier Write durable.
  // Errors: IoError - what is durable is unknown; the caller must fence itself.
  virtual IoStatus Drain() = 0;

  // Was every byte that was read from bytes() really what the medium holds?
  // Errors: IoError - a part of the medium could not be read, and has read as zeros since then.  Nothing that was read
  // since then, and no conclusion from it, may be trusted, told or written anywhere; the caller must fence itself.
  [[nodiscard]] virtual IoStatus Health() const { return IoStatus::Ok(); }

  // What could not be read so far, in ascending order; more may be found as more is read.
  [[nodiscard]] virtual std::vector<MediaRange> Unreadable() const { return {}; }

  // Makes Unreadable() readable again by writing zeros over it.  The zeros are durable on return, and Health() is good
  // then.  It is for a caller that needs nothing of what the medium holds.
  // Errors: IoError - the medium does not accept the zeros.
  virtual IoStatus DropUnreadable() { return Health(); }

  // Makes the medium `bytes` large.  Its contents stay, and zeros follow.  A medium that has a fixed size, or is larger
  // already, stays as it is.  The new size is durable on return.  Only for the code that opens the medium, before
  // anybody else knows bytes() or shared().
  // Errors: NoSpace, IoError - the medium is as it was.
  virtual Status Grow(std::uint64_t bytes) = 0;

  [[nodiscard]] virtual PersistenceDomain domain() const = 0;
  // The unit (bytes, a power of two >= 64) that the medium can write without reading first.
  [[nodiscard]] virtual std::uint32_t granule() const = 0;
};

}  // namespace faha
