// A medium that forgets what was not drained.  It may at a crash keep any subset of the undrained 8-byte words: so
// lines are lost, torn and reordered.  It does not corrupt what was drained.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <vector>

#include "faha/media.h"

namespace faha {

// What survives: shared by the media that open it one after the other.
struct CrashDisk {
  explicit CrashDisk(std::size_t size) : written(size), drained(size) {}
  std::vector<std::byte> written;  // what a reader sees
  std::vector<std::byte> drained;  // what surely survives
  std::uint64_t drains = 0;
  std::vector<std::pair<std::uint64_t, std::size_t>> dirty;  // written since the last drain
  std::uint64_t fail_at_drain = ~0ULL;                       // this drain, counted from 1, fails as a device does

  // Power fails: of each undrained 8-byte word either the old or the new survives.
  void Crash(std::mt19937_64& random) {
    for (const auto& [offset, size] : dirty) {
      for (std::uint64_t i = offset / 8 * 8; i < offset + size; i += 8) {
        const bool differs = std::memcmp(&written[i], &drained[i], 8) != 0;
        if (differs && random() % 2 == 0) std::memcpy(&drained[i], &written[i], 8);
        std::memcpy(&written[i], &drained[i], 8);
      }
    }
    dirty.clear();
  }
  void DrainAll() {
    for (const auto& [offset, size] : dirty) std::memcpy(&drained[offset], &written[offset], size);
    dirty.clear();
  }
};

class CrashMedia : public Media {
 public:
  CrashMedia(std::shared_ptr<CrashDisk> disk, std::uint32_t granule) : disk_(std::move(disk)), granule_(granule) {}

  [[nodiscard]] std::span<const std::byte> bytes() const override { return disk_->written; }
  Status Write(std::uint64_t offset, std::span<const std::byte> data) override {
    std::memcpy(disk_->written.data() + offset, data.data(), data.size());
    disk_->dirty.emplace_back(offset, data.size());
    return Status::Ok();
  }
  // A simulated device may store anywhere.
  [[nodiscard]] std::span<std::byte> shared() override { return disk_->written; }
  void Landed(std::uint64_t offset, std::size_t size) override { disk_->dirty.emplace_back(offset, size); }
  // As durable as a file system makes it: at once.
  Status Grow(std::uint64_t bytes) override {
    if (bytes <= disk_->written.size()) return Status::Ok();
    disk_->written.resize(bytes);
    disk_->drained.resize(bytes);
    return Status::Ok();
  }
  Status Drain() override {
    if (++disk_->drains == disk_->fail_at_drain) return {Code::kIoError, "the simulated device failed"};
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
