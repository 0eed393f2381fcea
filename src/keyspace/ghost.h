// The keys that were evicted not long ago, as fingerprints.  Thread: main loop only.
// The ghost is a table of cache lines.  A part of a key's hash selects the line, and 16 other bits identify the entry.
// An entry also holds, in 16 bits, when it was added.  It no longer counts once `window` bytes were added after it, so
// entries need not be removed when they expire.
// Both are approximate.  A fingerprint is taken for another key's once in some 4000 look-ups; and of the entries that
// have aged eight windows or more, one in eight looks young again.  A mistake only puts a key into the wrong queue.
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

  // How many bytes of DRAM a window of so many bytes takes.
  static constexpr std::uint64_t BytesFor(std::uint64_t window) { return LinesFor(window) * sizeof(Line); }
  // Keys are remembered until keys of `window` bytes were added after them; 0: not at all.  Forgets everything.
  void SetWindow(std::uint64_t window);
  // Remembers a key of `bytes` that was evicted.  Only the low 48 bits of its hash are used.
  void Add(std::uint64_t hash, std::uint64_t bytes);
  // Is the key remembered?  If so, it is forgotten now.
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
  // For each kBytesPerLine bytes of the window there is one line, of 16 entries: if keys are smaller than that allows,
  // they are remembered for less than a window.
  static constexpr std::uint64_t kBytesPerLine = 2048;

  static constexpr std::uint64_t LinesFor(std::uint64_t window) { return (window + kBytesPerLine - 1) / kBytesPerLine; }
  // The line of the key with that hash; null: the line is not ready yet.
  [[nodiscard]] Line* LineOf(std::uint64_t hash) const {
    const std::uint64_t line = (hash >> 16 & 0xFFFFFFFF) * lines_count_ >> 32;
    return line < ready_ ? &lines_[line] : nullptr;
  }
  static std::uint16_t FingerprintOf(std::uint64_t hash) { return static_cast<std::uint16_t>(hash); }
  [[nodiscard]] std::uint16_t Now() const { return static_cast<std::uint16_t>((added_bytes_ / tick_bytes_) | 1); }
  // The age of `entry` in ticks, modulo 2^16.
  [[nodiscard]] std::uint16_t AgeOf(const Entry& entry) const {
    return static_cast<std::uint16_t>(Now() - entry.added);
  }

  std::pmr::memory_resource* memory_;
  Line* lines_ = nullptr;
  std::uint64_t lines_count_ = 0;
  std::uint64_t ready_ = 0;  // lines that are zeroed, kReadyPerKey with each key: all at once take too long
  std::uint64_t tick_bytes_ = 1;
  std::uint64_t added_bytes_ = 0;
};

}  // namespace faha
