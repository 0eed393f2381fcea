#include "pmem/bus_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <memory>

#include "base/check.h"

namespace faha {

// A region is never freed, because a handler may be looking at it; a region that nobody uses is taken again.
struct BusGuard::Region {
  std::atomic<std::uintptr_t> base{0};
  std::atomic<std::size_t> bytes{0};                        // 0: nothing is watched
  std::atomic<std::atomic<std::uint64_t>*> pages{nullptr};  // a bit for each page; set: it failed
  std::atomic<std::uint64_t> failures{0};
  bool taken = false;
  Region* next = nullptr;
};

namespace {

std::atomic<BusGuard::Region*> regions{nullptr};
std::atomic<const struct sigaction*> before{nullptr};  // the handler before ours
const std::size_t kPageSize = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::size_t PagesOf(std::size_t bytes) { return (bytes + kPageSize - 1) / kPageSize; }
std::size_t BitmapBytes(std::size_t bytes) { return (PagesOf(bytes) + 63) / 64 * sizeof(std::uint64_t); }

void Mark(BusGuard::Region& region, std::size_t from, std::size_t to) {
  std::atomic<std::uint64_t>* pages = region.pages.load(std::memory_order_acquire);
  for (std::size_t page = from / kPageSize; page < PagesOf(to); ++page)
    pages[page / 64].fetch_or(std::uint64_t{1} << page % 64, std::memory_order_relaxed);
  region.failures.fetch_add(1, std::memory_order_release);
}

// Maps zeros at `at`, an offset that cannot be read.  Only the page is replaced if possible; on a device DAX, whose
// mapping can be divided only between huge pages, the huge page; and if the kernel cannot divide the mapping any
// further, all of it.
bool ReadAsZeros(BusGuard::Region& region, std::size_t at) {
  constexpr std::size_t kHugePage = 2U << 20;
  const std::size_t all = PagesOf(region.bytes) * kPageSize;
  for (const std::size_t unit : {kPageSize, kHugePage, all}) {
    const std::size_t from = unit == all ? 0 : at / unit * unit;
    const std::size_t to = std::min(from + unit, all);
    void* start = reinterpret_cast<void*>(region.base.load(std::memory_order_relaxed) + from);
    if (mmap(start, to - from, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
             0) == MAP_FAILED) {
      continue;
    }
    Mark(region, from, to);
    return true;
  }
  return false;
}

// Calls the handler that was set before ours.  If that one calls our handler in turn, the signal has its default
// effect.
void PassOn(int signal, siginfo_t* info, void* context) {
  static std::atomic<bool> passing{false};
  const bool again = passing.exchange(true);
  const struct sigaction& other = *before.load(std::memory_order_acquire);
  const bool sent = info->si_code <= 0;  // by a process, not by the kernel
  const bool full = (other.sa_flags & SA_SIGINFO) != 0;
  if (!full && other.sa_handler == SIG_IGN && sent) {
    passing = again;
    return;
  }
  const bool handled = !again && (full || (other.sa_handler != SIG_DFL && other.sa_handler != SIG_IGN));
  if (!handled || (other.sa_flags & SA_RESETHAND) != 0) {
    struct sigaction none {};
    none.sa_handler = SIG_DFL;
    (void)sigaction(signal, &none, nullptr);
  }
  if (handled) {
    full ? other.sa_sigaction(signal, info, context) : other.sa_handler(signal);
    passing = false;
    return;
  }
  // A signal that a process has sent must be raised again.  For one from the kernel this is not needed: the instruction
  // is tried again, the kernel finds the same error, and the process ends.
  if (sent) (void)raise(signal);
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (auto* region = regions.load(std::memory_order_acquire); region != nullptr && info->si_code > 0;
       region = region->next) {
    const std::size_t bytes = region->bytes.load(std::memory_order_acquire);
    const std::uintptr_t base = region->base.load(std::memory_order_acquire);
    if (at < base || at - base >= PagesOf(bytes) * kPageSize || !ReadAsZeros(*region, at - base)) continue;
    errno = error;
    return;
  }
  errno = error;
  PassOn(signal, info, context);
}

void Install() {
  struct sigaction now {};
  FAHA_CHECK(sigaction(SIGBUS, nullptr, &now) == 0, "a signal's handler can be asked for");
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == OnBusError) return;
  // This memory is never freed, as a handler may be using it.  That is acceptable, because it happens only a few times
  // in a process.
  before.store(new struct sigaction(now), std::memory_order_release);
  struct sigaction ours {};
  ours.sa_sigaction = OnBusError;
  ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK | SA_RESTART;
  FAHA_CHECK(sigaction(SIGBUS, &ours, nullptr) == 0, "a signal's handler can be set");
}

BusGuard::Region* TakeRegion() {
  for (auto* region = regions.load(); region != nullptr; region = region->next) {
    if (!std::exchange(region->taken, true)) return region;
  }
  auto* region = new BusGuard::Region;
  region->taken = true;
  region->next = regions.load();
  regions.store(region, std::memory_order_release);
  return region;
}

void Forget(BusGuard::Region& region) {
  const std::size_t bytes = region.bytes.exchange(0);
  auto* pages = region.pages.exchange(nullptr);
  region.base = 0;
  region.failures = 0;
  if (pages != nullptr) munmap(static_cast<void*>(pages), BitmapBytes(bytes));
}

}  // namespace

BusGuard::BusGuard() : region_(TakeRegion()) {}

BusGuard::~BusGuard() {
  Forget(*region_);
  region_->taken = false;
}

// The bitmap takes address space only; it takes memory once a page fails.
void BusGuard::Watch(const void* base, std::size_t bytes) {
  Forget(*region_);
  void* bits =
      mmap(nullptr, BitmapBytes(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  FAHA_CHECK(bits != MAP_FAILED, "there is address space for a bit per page");
  region_->pages = static_cast<std::atomic<std::uint64_t>*>(bits);
  region_->base = reinterpret_cast<std::uintptr_t>(base);
  region_->bytes = bytes;
  Install();
}

std::uint64_t BusGuard::failures() const { return region_->failures.load(std::memory_order_acquire); }

bool BusGuard::Touches(std::uint64_t offset, std::size_t bytes) const {
  if (failures() == 0) return false;
  const std::atomic<std::uint64_t>* pages = region_->pages;
  for (std::size_t page = offset / kPageSize; page < PagesOf(offset + bytes); ++page) {
    if ((pages[page / 64].load() >> page % 64 & 1) != 0) return true;
  }
  return false;
}

std::vector<MediaRange> BusGuard::Ranges() const {
  std::vector<MediaRange> ranges;
  if (failures() == 0) return ranges;
  const std::atomic<std::uint64_t>* pages = region_->pages;
  const std::size_t bytes = region_->bytes;
  for (std::size_t word = 0; word * 64 < PagesOf(bytes); ++word) {
    const std::uint64_t bits = pages[word].load();
    for (std::size_t bit = 0; bits != 0 && bit < 64; ++bit) {
      const std::uint64_t offset = (word * 64 + bit) * kPageSize;
      if ((bits >> bit & 1) == 0 || offset >= bytes) continue;
      const std::uint64_t size = std::min<std::uint64_t>(kPageSize, bytes - offset);
      if (!ranges.empty() && ranges.back().offset + ranges.back().bytes == offset) {
        ranges.back().bytes += size;
      } else {
        ranges.push_back({offset, size});
      }
    }
  }
  return ranges;
}

void BusGuard::StayInstalled() {
  static std::int64_t next = 0;
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const std::int64_t at = std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  if (at < next) return;
  next = at + kPeriod;
  Install();
}

}  // namespace faha
