// A medium that forgets what was not drained.  When power fails it may keep any part of that, by words or by lines,
// each in any of the versions written: so it is lost, torn and reordered.  It does not corrupt what was drained.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "faha/media.h"

namespace faha {

// What of the undrained a power failure keeps.
enum class CrashMode { kWords, kLines, kNothing, kEverything, kFirstWrites, kLastWrites };
inline constexpr std::array kCrashModes = {CrashMode::kWords,      CrashMode::kLines,       CrashMode::kNothing,
                                           CrashMode::kEverything, CrashMode::kFirstWrites, CrashMode::kLastWrites};
inline const char* CrashModeName(CrashMode mode) {
  constexpr std::array names = {"words", "lines", "nothing", "everything", "first writes", "last writes"};
  return names[static_cast<std::size_t>(mode)];
}

// What survives: shared by the media that open it one after the other.
struct CrashDisk {
  struct Undrained {
    std::uint64_t offset;
    std::vector<std::byte> data;
  };

  explicit CrashDisk(std::size_t size) : written(size), drained(size) {}
  std::vector<std::byte> written;  // what a reader sees
  std::vector<std::byte> drained;  // what surely survives
  std::uint64_t drains = 0;
  std::vector<Undrained> undrained;      // in the order written
  std::uint64_t fail_at_drain = ~0ULL;   // this drain, counted from 1, fails as a device does
  std::function<bool()> before_drain{};  // asked first; false: this drain says Ok and does nothing

  void Write(std::uint64_t offset, std::span<const std::byte> data) {
    undrained.push_back({offset, {data.begin(), data.end()}});
  }

  // Power fails.
  void Crash(std::mt19937_64& random, CrashMode mode = CrashMode::kWords) {
    const std::size_t cut = random() % (undrained.size() + 1);
    for (std::size_t i = 0; i < undrained.size(); ++i) {
      switch (mode) {
        case CrashMode::kWords: KeepSome(undrained[i], 8, random); break;
        case CrashMode::kLines: KeepSome(undrained[i], 64, random); break;
        case CrashMode::kNothing: break;
        case CrashMode::kEverything: Keep(undrained[i]); break;
        case CrashMode::kFirstWrites:
          if (i < cut) Keep(undrained[i]);
          break;
        case CrashMode::kLastWrites:
          if (i >= cut) Keep(undrained[i]);
          break;
      }
    }
    for (const Undrained& write : undrained)
      std::memcpy(&written[write.offset], &drained[write.offset], write.data.size());
    undrained.clear();
  }
  void DrainAll() {
    for (const Undrained& write : undrained) Keep(write);
    undrained.clear();
  }
  // As if this disk were a copy of `other`, which nobody watches.
  void CopyFrom(const CrashDisk& other) {
    written = other.written;
    drained = other.drained;
    undrained = other.undrained;
    drains = other.drains;
  }

 private:
  void Keep(const Undrained& write) { std::memcpy(&drained[write.offset], write.data.data(), write.data.size()); }
  // Of each unit of `unit` bytes of the medium, the write's part survives or not.
  void KeepSome(const Undrained& write, std::uint64_t unit, std::mt19937_64& random) {
    const std::uint64_t end = write.offset + write.data.size();
    std::uint64_t coins = 0;
    for (std::uint64_t at = write.offset, i = 0; at < end; ++i) {
      if (i % 64 == 0) coins = random();
      const std::uint64_t next = std::min(at / unit * unit + unit, end);
      if ((coins >> i % 64 & 1) != 0) std::memcpy(&drained[at], &write.data[at - write.offset], next - at);
      at = next;
    }
  }
};

class CrashMedia : public Media {
 public:
  CrashMedia(std::shared_ptr<CrashDisk> disk, std::uint32_t granule) : disk_(std::move(disk)), granule_(granule) {}

  [[nodiscard]] std::span<const std::byte> bytes() const override { return disk_->written; }
  Status Write(std::uint64_t offset, std::span<const std::byte> data) override {
    std::memcpy(disk_->written.data() + offset, data.data(), data.size());
    disk_->Write(offset, data);
    return Status::Ok();
  }
  // A simulated device may store anywhere.
  [[nodiscard]] std::span<std::byte> shared() override { return disk_->written; }
  void Landed(std::uint64_t offset, std::size_t size) override {
    disk_->Write(offset, std::span(disk_->written).subspan(offset, size));
  }
  // As durable as a file system makes it: at once.
  Status Grow(std::uint64_t bytes) override {
    if (bytes <= disk_->written.size()) return Status::Ok();
    disk_->written.resize(bytes);
    disk_->drained.resize(bytes);
    return Status::Ok();
  }
  Status Drain() override {
    const std::uint64_t number = ++disk_->drains;
    if (disk_->before_drain && !disk_->before_drain()) return Status::Ok();
    if (number == disk_->fail_at_drain) return {Code::kIoError, "the simulated device failed"};
    disk_->DrainAll();
    return Status::Ok();
  }
  [[nodiscard]] PersistenceDomain domain() const override { return PersistenceDomain::kCacheLine; }
  [[nodiscard]] std::uint32_t granule() const override { return granule_; }

 private:
  std::shared_ptr<CrashDisk> disk_;
  std::uint32_t granule_;
};

}  // namespace faha
