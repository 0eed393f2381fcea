// What a simulated RDMA device stores goes to the node's simulated disk.
#pragma once

#include <cstring>
#include <memory>

#include "tests/fakes/crash_media.h"
#include "tests/fakes/sim_world.h"

namespace faha {

inline void TellDiskOfLandings(SimFabric& fabric, const std::shared_ptr<CrashDisk>& disk) {
  fabric.on_landed = [disk](std::span<const std::byte> bytes, bool flushed) {
    const auto offset = static_cast<std::uint64_t>(bytes.data() - disk->written.data());
    disk->Write(offset, bytes);
    if (flushed) std::memcpy(&disk->drained[offset], bytes.data(), bytes.size());
  };
}

}  // namespace faha
