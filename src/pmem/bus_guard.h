// Lets the process survive reads of those parts of a mapping that cannot be read.  If a device fails to deliver a page,
// or a file ends before the page, the kernel sends SIGBUS, which would end the process.  The guard replaces the page by
// zeros, so that the reader goes on, and reports the page when it is asked.  Threads: any may read what is watched; all
// else in the main loop only.
//
// Invariants: (1) a SIGBUS that is not about a watched mapping does what it did before: it is passed on.
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
  // The watched mapping must still exist.
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;

  // Watches that mapping from now on, instead of an earlier one.  None of its pages has failed yet.
  void Watch(const void* base, std::size_t bytes);

  // How often a page could not be read, or not be written to.
  [[nodiscard]] std::uint64_t failures() const;
  // The pages that failed, in order; neighbours are one range.
  [[nodiscard]] std::vector<MediaRange> Ranges() const;
  // Did any page fail among those bytes?
  [[nodiscard]] bool Touches(std::uint64_t offset, std::size_t bytes) const;

  // The program may set a handler of its own at any time, as redis-server does upon CONFIG SET crash-log-enabled.  Then
  // this function sets our handler again, and the other one is called for every SIGBUS that is not ours.  It is cheap:
  // it does something once in kPeriod at most.
  static void StayInstalled();
  static constexpr std::int64_t kPeriod = 100'000'000;  // nanoseconds

  struct Region;

 private:
  Region* region_;
};

}  // namespace faha
