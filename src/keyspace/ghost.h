// The keys that were evicted not long ago, as fingerprints.  Thread: main loop only.
// A table of cache lines; a key's hash says which line and, with 16 other bits, which entry.  An entry also holds when
// it was added, in 16 bits, and is as good as gone when `window` bytes were added after it: nothing has to expire it.
// Both are approximate.  A fingerprint is taken for another's once in some 4000 look-ups; of entries that have aged
// eight windows or more, one in eight looks young again.  What a mistake costs is a key in the wrong queue.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>

namespace faha {

class Ghost {
 public:
  explicit Ghost(std::pmr::memory_resource* memory) : memory_(memory) {}
  ~Ghost() { SetWindow(0); }
  Ghost(const Ghost&) = delete;
  Ghost& operator=(const Ghost&) = delete;

  // Of DRAM, for a window of so many bytes.
  static constexpr std::uint64_t BytesFor(std::uint64_t window) { return LinesFor(window) * sizeof(Line); }
  // Keys are remembered until keys of `window` bytes were added after them; 0: not at all.  Forgets everything.
  void SetWindow(std::uint64_t window);
  // A key of `bytes` was evicted.  Of its hash the low 48 bits count.
  void Add(std::uint64_t hash, std::uint64_t bytes);
  // Is the key remembered?  Then it is no more.
  bool Take(std::uint64_t hash);

 private:
  struct Entry {
    std::uint16_t fingerprint;
    std::uint16_t added;  // in ticks; 0: free
  };
  struct alignas(64) Line {
    Entry entries[16];
  };
  static_assert(sizeof(Line) == 64);
  static constexpr std::uint64_t kTicksPerWindow = std::uint64_t{1} << 13;
  static constexpr std::uint64_t kReadyPerKey = 64;
  // A line has room for the keys of so many bytes: smaller keys are remembered for less than a window.
  static constexpr std::uint64_t kBytesPerLine = 2048;

  static constexpr std::uint64_t LinesFor(std::uint64_t window) { return (window + kBytesPerLine - 1) / kBytesPerLine; }
  // Null: it is not ready yet.
  [[nodiscard]] Line* LineOf(std::uint64_t hash) const {
    const std::uint64_t line = (hash >> 16 & 0xFFFFFFFF) * lines_count_ >> 32;
    return line < ready_ ? &lines_[line] : nullptr;
  }
  static std::uint16_t FingerprintOf(std::uint64_t hash) { return static_cast<std::uint16_t>(hash); }
  [[nodiscard]] std::uint16_t Now() const { return static_cast<std::uint16_t>((added_bytes_ / tick_bytes_) | 1); }
  // In ticks, modulo 2^16.
  [[nodiscard]] std::uint16_t AgeOf(const Entry& entry) const {
    return static_cast<std::uint16_t>(Now() - entry.added);
  }

  std::pmr::memory_resource* memory_;
  Line* lines_ = nullptr;
  std::uint64_t lines_count_ = 0;
  std::uint64_t ready_ = 0;  // lines that are zeroed: a little with each key, for all at once would take too long
  std::uint64_t tick_bytes_ = 1;
  std::uint64_t added_bytes_ = 0;
};

}  // namespace faha
