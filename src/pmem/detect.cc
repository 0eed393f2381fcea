#include "pmem/detect.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <fstream>

namespace faha {

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> FolderOf(const fs::path& sysfs, bool character, dev_t device) {
  std::error_code error;
  fs::path folder = fs::canonical(
      sysfs / "dev" / (character ? "char" : "block") / fmt::format("{}:{}", major(device), minor(device)), error);
  if (error) return std::nullopt;
  return folder;
}

// The first line of a file; empty if it cannot be read.
std::string FirstLine(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

}  // namespace

std::optional<NvdimmRegion> RegionOf(const fs::path& sysfs, bool character, dev_t device) {
  const auto folder = FolderOf(sysfs, character, device);
  if (!folder) return std::nullopt;
  for (fs::path at = *folder; at.has_relative_path(); at = at.parent_path()) {
    const fs::path bus = at.parent_path();
    if (!at.filename().string().starts_with("region") || !bus.filename().string().starts_with("ndbus")) continue;
    return NvdimmRegion{.name = at.filename(),
                        .persistence = FirstLine(at / "persistence_domain"),
                        .asynchronous = FirstLine(bus / "provider").starts_with("virtio")};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> DeviceDaxBytes(const fs::path& sysfs, dev_t device) {
  const auto folder = FolderOf(sysfs, true, device);
  if (!folder) return std::nullopt;
  std::ifstream file(*folder / "size");
  std::uint64_t bytes = 0;
  if (!(file >> bytes) || bytes == 0) return std::nullopt;
  return bytes;
}

DetectedDomain DetectDomain(const MediumFacts& facts) {
  const bool device = facts.kind == MediumKind::kDeviceDax;
  if (facts.kind == MediumKind::kMemoryFile) return {PersistenceDomain::kVolatile, "a file system in memory"};
  if (!device && !facts.map_sync) return {PersistenceDomain::kPage, "the kernel does not grant MAP_SYNC"};
  if (device && !facts.region) return {PersistenceDomain::kVolatile, "the device DAX is no NVDIMM"};
  if (device && facts.region->asynchronous) {
    return {PersistenceDomain::kVolatile, "a virtual device DAX cannot be flushed: make it fsdax"};
  }
  const std::string how = device ? "device DAX" : "MAP_SYNC";
  if (!facts.region) return {PersistenceDomain::kCacheLine, how};
  const NvdimmRegion& region = *facts.region;
  if (region.persistence == "cpu_cache") {
    return {PersistenceDomain::kCpuCache, fmt::format("{}, {} says cpu_cache", how, region.name)};
  }
  return {PersistenceDomain::kCacheLine,
          fmt::format("{}, {} says {}", how, region.name, region.persistence.empty() ? "nothing" : region.persistence)};
}

}  // namespace faha
