// A medium that forgets what was not drained.  When power fails it may keep any part of that, by words or by lines,
// each in any of the versions written: so it is lost, torn and reordered.  It does not corrupt what was drained.
//
// It also fails as devices do, by the members of CrashDisk that a test sets; Reset() takes them back.
//   fail_at_write  that write, and no other, is an IoError.  Of its bytes nothing is copied, or the first half
//                  (fail_half_way): how much is copied is unknown to whoever wrote.
//   fail_at_drain  that drain, and no other, is an IoError; what it was to make durable may be lost.
//   MakeUnreadable(offset)
//                  from now on the page around it reads as zeros for the medium that has the disk open and for all that
//                  open it later, and Health() fails.  A write that touches it fails.  DropUnreadable() makes it
//                  readable again: as zeros.
// Writes and drains that were counted are in `writes` and `drains`: run a history once to know how many there are, and
// then once for each of them.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "faha/media.h"

namespace faha {

// Zeros that cost nothing until they are touched: most of a pool never is.
class ZeroedBytes {
 public:
  explicit ZeroedBytes(std::size_t size) : size_(size), data_(Map(size)) {}
  ZeroedBytes(const ZeroedBytes& other) : ZeroedBytes(other.size_) { *this = other; }
  ~ZeroedBytes() { ::munmap(data_, size_); }
  ZeroedBytes& operator=(const ZeroedBytes& other) {
    if (size_ != other.size_) resize(other.size_);
    std::memcpy(data_, other.data_, size_);
    return *this;
  }
  void resize(std::size_t size) {
    std::byte* data = Map(size);
    std::memcpy(data, data_, std::min(size, size_));
    ::munmap(data_, size_);
    data_ = data;
    size_ = size;
  }

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::byte* data() { return data_; }
  [[nodiscard]] const std::byte* data() const { return data_; }
  [[nodiscard]] std::byte* begin() { return data_; }
  [[nodiscard]] const std::byte* begin() const { return data_; }
  [[nodiscard]] std::byte* end() { return data_ + size_; }
  [[nodiscard]] const std::byte* end() const { return data_ + size_; }
  std::byte& operator[](std::size_t at) { return data_[at]; }
  const std::byte& operator[](std::size_t at) const { return data_[at]; }
  bool operator==(const ZeroedBytes& other) const {
    return size_ == other.size_ && std::memcmp(data_, other.data_, size_) == 0;
  }

 private:
  static std::byte* Map(std::size_t size) {
    void* data = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAHA_CHECK(data != MAP_FAILED, "there is memory for a simulated disk");
    return static_cast<std::byte*>(data);
  }

  std::size_t size_;
  std::byte* data_;
};

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

  explicit CrashDisk(std::size_t size) : written(size), drained(size), touched_(size / kPage + 1) {}
  ZeroedBytes written;  // what a reader sees
  ZeroedBytes drained;  // what surely survives
  std::uint64_t drains = 0, writes = 0;
  std::vector<Undrained> undrained;      // in the order written
  std::uint64_t fail_at_drain = ~0ULL;   // this drain, counted from 1, fails as a device does
  std::uint64_t fail_at_write = ~0ULL;   // this write, counted from 1, does
  bool fail_half_way = false;            // having copied the first half
  std::function<bool()> before_drain{};  // asked first; false: this drain says Ok and does nothing

  void Write(std::uint64_t offset, std::span<const std::byte> data) {
    undrained.push_back({offset, {data.begin(), data.end()}});
    for (std::uint64_t page = offset / kPage; page * kPage < offset + data.size(); ++page) touched_[page] = true;
  }
  // As new, for less than a new one costs; nobody may have written to it but through Write().
  void Reset() {
    for (std::size_t page = 0; page < touched_.size(); ++page) {
      if (!touched_[page]) continue;
      const std::size_t size = std::min(kPage, written.size() - page * kPage);
      std::memset(&written[page * kPage], 0, size);
      std::memset(&drained[page * kPage], 0, size);
    }
    touched_.assign(touched_.size(), false);
    undrained.clear();
    drains = writes = 0;
    fail_at_drain = fail_at_write = ~0ULL;
    fail_half_way = false;
    unreadable_.clear();
    before_drain = nullptr;
  }

  // The device fails to deliver that page, whose bytes are gone.
  void MakeUnreadable(std::uint64_t offset) {
    const std::uint64_t page = offset / kPage * kPage;
    const std::vector<std::byte> zeros(std::min<std::size_t>(kPage, written.size() - page));
    std::memcpy(&written[page], zeros.data(), zeros.size());
    std::memcpy(&drained[page], zeros.data(), zeros.size());
    std::erase_if(undrained, [&](const Undrained& write) { return Meets(write.offset, write.data.size(), page); });
    unreadable_.insert(page);
  }
  void DropUnreadable() { unreadable_.clear(); }
  [[nodiscard]] std::vector<MediaRange> Unreadable() const {
    std::vector<MediaRange> ranges;
    for (const std::uint64_t page : unreadable_) ranges.push_back({page, kPage});
    return ranges;
  }
  [[nodiscard]] bool IsReadable(std::uint64_t offset, std::uint64_t bytes) const {
    return std::none_of(unreadable_.begin(), unreadable_.end(),
                        [&](std::uint64_t page) { return Meets(offset, bytes, page); });
  }

  void Grow(std::size_t size) {
    written.resize(size);
    drained.resize(size);
    touched_.resize(size / kPage + 1);
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
  void DrainAll() { DrainFirst(undrained.size()); }
  // What is written while a drain is under way is not part of it.
  void DrainFirst(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) Keep(undrained[i]);
    undrained.erase(undrained.begin(), undrained.begin() + static_cast<std::ptrdiff_t>(count));
  }
  // As if this disk were a copy of `other`, which nobody watches.
  void CopyFrom(const CrashDisk& other) {
    written = other.written;
    drained = other.drained;
    touched_ = other.touched_;
    undrained = other.undrained;
    drains = other.drains;
    writes = other.writes;
    unreadable_ = other.unreadable_;
  }

 private:
  static constexpr std::size_t kPage = 4096;
  void Keep(const Undrained& write) {
    std::copy(write.data.begin(), write.data.end(), drained.begin() + static_cast<std::ptrdiff_t>(write.offset));
  }
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

  static bool Meets(std::uint64_t offset, std::uint64_t bytes, std::uint64_t page) {
    return offset < page + kPage && page < offset + bytes;
  }

  std::vector<bool> touched_;           // of both
  std::set<std::uint64_t> unreadable_;  // pages, by their offset
};

class CrashMedia : public Media {
 public:
  CrashMedia(std::shared_ptr<CrashDisk> disk, std::uint32_t granule) : disk_(std::move(disk)), granule_(granule) {}

  [[nodiscard]] std::span<const std::byte> bytes() const override { return std::span(std::as_const(disk_->written)); }
  IoStatus Write(std::uint64_t offset, std::span<const std::byte> data) override {
    if (!disk_->IsReadable(offset, data.size())) return Health();
    const bool fails = ++disk_->writes == disk_->fail_at_write;
    if (fails) data = data.first(disk_->fail_half_way ? data.size() / 2 : 0);
    std::memcpy(disk_->written.data() + offset, data.data(), data.size());
    disk_->Write(offset, data);
    return fails ? IoStatus("the simulated device takes no more (errno 28)") : IoStatus::Ok();
  }
  // A simulated device may store anywhere.
  [[nodiscard]] std::span<std::byte> shared() override { return std::span(disk_->written); }
  void Landed(std::uint64_t offset, std::size_t size) override {
    disk_->Write(offset, std::span(disk_->written).subspan(offset, size));
  }
  // As durable as a file system makes it: at once.
  Status Grow(std::uint64_t bytes) override {
    if (bytes <= disk_->written.size()) return Status::Ok();
    disk_->Grow(bytes);
    return Status::Ok();
  }
  IoStatus Drain() override {
    const std::uint64_t number = ++disk_->drains;
    const std::size_t count = disk_->undrained.size();
    if (disk_->before_drain && !disk_->before_drain()) return IoStatus::Ok();
    if (number == disk_->fail_at_drain) return IoStatus("the simulated device failed");
    disk_->DrainFirst(count);
    return IoStatus::Ok();
  }
  [[nodiscard]] IoStatus Health() const override {
    return Unreadable().empty() ? IoStatus::Ok() : IoStatus("the simulated device cannot be read");
  }
  [[nodiscard]] std::vector<MediaRange> Unreadable() const override { return disk_->Unreadable(); }
  IoStatus DropUnreadable() override {
    disk_->DropUnreadable();
    return IoStatus::Ok();
  }
  [[nodiscard]] PersistenceDomain domain() const override { return PersistenceDomain::kCacheLine; }
  [[nodiscard]] std::uint32_t granule() const override { return granule_; }

 private:
  std::shared_ptr<CrashDisk> disk_;
  std::uint32_t granule_;
};

}  // namespace faha
