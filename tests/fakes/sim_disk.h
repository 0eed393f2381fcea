// A simulated node's disk: its RDMA device stores there, too, and it can refuse.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "tests/fakes/crash_media.h"
#include "tests/fakes/sim_world.h"

namespace faha {

// What a simulated RDMA device stores goes to the node's simulated disk.
inline void TellDiskOfLandings(SimFabric& fabric, const std::shared_ptr<CrashDisk>& disk) {
  fabric.on_landed = [disk](std::span<const std::byte> bytes, bool flushed) {
    const auto offset = static_cast<std::uint64_t>(bytes.data() - disk->written.data());
    disk->Write(offset, bytes);
    if (flushed) std::memcpy(&disk->drained[offset], bytes.data(), bytes.size());
  };
}

// When a disk refuses: a write, after so many that went well, with some of its bytes written; or a drain.
struct DiskRefusal {
  std::uint64_t calls = 0;  // writes, or drains, until then, itself included; 0: none
  bool at_drain = false;
  unsigned kept = 0;  // of 8 parts of the write
  bool happened = false;
};

// As CrashMedia, on a disk that may refuse.
class RefusingMedia final : public CrashMedia {
 public:
  RefusingMedia(std::shared_ptr<CrashDisk> disk, std::uint32_t granule, DiskRefusal* refusal)
      : CrashMedia(std::move(disk), granule), refusal_(refusal) {}

  IoStatus Write(std::uint64_t offset, std::span<const std::byte> data) override {
    if (!Comes(false)) return CrashMedia::Write(offset, data);
    if (const auto kept = data.first(data.size() * refusal_->kept / 8); !kept.empty()) {
      if (IoStatus status = CrashMedia::Write(offset, kept); !status.ok()) return status;
    }
    return IoStatus("the simulated disk refuses a write");
  }
  IoStatus Drain() override {
    if (!Comes(true)) return CrashMedia::Drain();
    return IoStatus("the simulated disk refuses to drain");
  }

 private:
  bool Comes(bool drain) {
    if (refusal_->calls == 0 || refusal_->at_drain != drain || --refusal_->calls > 0) return false;
    refusal_->happened = true;
    return true;
  }

  DiskRefusal* refusal_;
};

}  // namespace faha
