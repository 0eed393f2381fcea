// What of a mapping cannot be read.  The kernel says that a device failed to deliver a page, or that a file ends before
// it, by SIGBUS, upon which the process would end.  Here the page becomes zeros, the reader goes on, and whoever asks
// is told.  Threads: any may read what is watched; all else in the main loop only.
//
// Invariants: (1) a SIGBUS that is not about what is watched does what it did before: it is passed on.
//             (2) the handler takes no lock and allocates nothing but address space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "faha/media.h"

namespace faha {

class BusGuard {
 public:
  BusGuard();
  // The mapping must still be there.
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;

  // Watches that mapping and no other, of which nothing has failed yet.
  void Watch(const void* base, std::size_t bytes);

  // How often a page could not be read, or not be written to.
  [[nodiscard]] std::uint64_t failures() const;
  // Those pages, in order; neighbours are one range.
  [[nodiscard]] std::vector<MediaRange> Ranges() const;
  // Is there one among them?
  [[nodiscard]] bool Touches(std::uint64_t offset, std::size_t bytes) const;

  // A program may set a handler of its own at any time, as redis-server does upon CONFIG SET crash-log-enabled: what is
  // there now is called for what is not ours, and ours is set again.  Cheap; does something every kPeriod at most.
  static void StayInstalled();
  static constexpr std::int64_t kPeriod = 100'000'000;  // nanoseconds

  struct Region;

 private:
  Region* region_;
};

}  // namespace faha
