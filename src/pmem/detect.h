// Which persistence domain a pool's memory has, as far as the kernel tells.  Thread: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "faha/media.h"

namespace faha {

// An NVDIMM region, as sysfs describes it.
struct NvdimmRegion {
  std::string name;
  std::string persistence;    // "cpu_cache", "memory_controller", or empty: the firmware does not say
  bool asynchronous = false;  // virtio-pmem: durable only once the host was asked to flush
};

// The region under a device; nothing if it is not on the NVDIMM bus.  `sysfs`: /sys, or a tree that looks like it.
std::optional<NvdimmRegion> RegionOf(const std::filesystem::path& sysfs, bool character, dev_t device);

// The size of a device DAX in bytes; nothing if the character device is none.
std::optional<std::uint64_t> DeviceDaxBytes(const std::filesystem::path& sysfs, dev_t device);

enum class MediumKind { kFile, kMemoryFile, kDeviceDax };

struct MediumFacts {
  MediumKind kind = MediumKind::kFile;
  bool map_sync = false;  // the kernel has granted MAP_SYNC
  std::optional<NvdimmRegion> region;
};

struct DetectedDomain {
  PersistenceDomain domain = PersistenceDomain::kPage;
  std::string reason;  // for the server's log
};

// The strongest domain that the facts justify:
//
//   medium       MAP_SYNC   region              domain
//   memory file  -          -                   volatile
//   file         refused    -                   page: its blocks may move, or wait for a host's flush
//   file         granted    cpu_cache           cpu_cache
//   file         granted    any other, none     cacheline
//   device DAX   -          none                volatile: memory that is no NVDIMM
//   device DAX   -          asynchronous        volatile: a device DAX has no fsync
//   device DAX   -          cpu_cache           cpu_cache
//   device DAX   -          any other           cacheline
DetectedDomain DetectDomain(const MediumFacts& facts);

}  // namespace faha
