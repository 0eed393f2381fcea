#include "pmem/pool_media.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libpmem.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "pmem/bus_guard.h"
#include "pmem/detect.h"
#include "pmem/pool_file.h"

namespace faha {

std::string_view DomainName(PersistenceDomain domain) {
  switch (domain) {
    case PersistenceDomain::kVolatile: return "volatile";
    case PersistenceDomain::kPage: return "page";
    case PersistenceDomain::kCacheLine: return "cacheline";
    case PersistenceDomain::kCpuCache: return "cpu_cache";
  }
  return "unknown";
}

namespace {

using pool_file::Allocate;
using pool_file::CodeOf;
using pool_file::CreateFile;
using pool_file::ErrnoText;
using pool_file::IgnoreFileSizeSignal;
using pool_file::Lock;
using pool_file::Map;
using pool_file::MapHugePages;
using pool_file::Mapping;
using pool_file::OpenPool;
using pool_file::SizeOf;

std::optional<PersistenceDomain> ParseDomain(const std::string& name) {
  for (auto domain : {PersistenceDomain::kVolatile, PersistenceDomain::kPage, PersistenceDomain::kCacheLine,
                      PersistenceDomain::kCpuCache}) {
    if (name == DomainName(domain)) return domain;
  }
  return std::nullopt;
}

// The unit in which a medium writes: Optane 256-byte lines, a block device whole pages, DRAM its cache lines.
std::uint32_t GranuleOf(PersistenceDomain domain) {
  switch (domain) {
    case PersistenceDomain::kPage: return 4096;
    case PersistenceDomain::kCacheLine:
    case PersistenceDomain::kCpuCache: return 256;
    case PersistenceDomain::kVolatile: break;
  }
  return 64;
}

bool OnMemoryFileSystem(int fd) {
  struct statfs info {};
  return fstatfs(fd, &info) == 0 && (info.f_type == TMPFS_MAGIC || info.f_type == RAMFS_MAGIC);
}

std::string ReadFailure(const BusGuard& guard, const std::string& path) {
  const auto ranges = guard.Ranges();
  std::uint64_t bytes = 0;
  for (const MediaRange& range : ranges) bytes += range.bytes;
  return fmt::format(
      "the pool {} cannot be read at byte {} ({} bytes in {} places so far): its device fails, or the "
      "file was cut short while it was in use; look at the system's log, replace or restore it, and "
      "restart the node",
      path, ranges.front().offset, bytes, ranges.size());
}

class PoolMedia : public Media {
 public:
  // The object owns the descriptor and the mapping from now on.
  PoolMedia(std::string path, int fd, const Mapping& map, bool device, PersistenceDomain domain)
      : path_(std::move(path)), fd_(fd), map_(map), device_(device), domain_(domain) {
    mapped_.assign(Pieces(), false);
    guard_.Watch(map_.base, map_.bytes);
  }
  ~PoolMedia() override {
    munmap(map_.base, map_.bytes);
    close(fd_);
  }
  PoolMedia(const PoolMedia&) = delete;
  PoolMedia& operator=(const PoolMedia&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const override { return {map_.base, map_.bytes}; }
  [[nodiscard]] PersistenceDomain domain() const override { return domain_; }
  [[nodiscard]] std::uint32_t granule() const override { return GranuleOf(domain_); }

  IoStatus Write(std::uint64_t offset, std::span<const std::byte> data) override {
    FAHA_CHECK(offset <= map_.bytes && data.size() <= map_.bytes - offset, "write outside the pool");
    if (!failed_.empty()) return IoStatus(failed_);
    // Where a page has failed, the mapping holds zeros and no longer the medium, so a store would be lost.
    if (guard_.Touches(offset, data.size())) return Failed(std::string(Health().message()));
    if (domain_ == PersistenceDomain::kPage) return WriteFile(offset, data);
    const std::uint64_t failures = guard_.failures();
    std::byte* to = map_.base + offset;
    MapAhead(offset, data.size());
    if (domain_ == PersistenceDomain::kVolatile) {
      std::memcpy(to, data.data(), data.size());
    } else {
      // The stores are non-temporal: a log is not read back soon, and an ordinary store would read the line first.
      pmem_memcpy(to, data.data(), data.size(), PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
    }
    if (guard_.failures() != failures) return Failed(std::string(Health().message()));
    return IoStatus::Ok();
  }

  [[nodiscard]] IoStatus Health() const override {
    BusGuard::StayInstalled();
    return guard_.failures() == 0 ? IoStatus::Ok() : IoStatus(ReadFailure(guard_, path_));
  }
  [[nodiscard]] std::vector<MediaRange> Unreadable() const override { return guard_.Ranges(); }

  // Writes zeros to what cannot be read.  That repairs it: a drive moves a sector that is written as a whole to another
  // place, and a file system on persistent memory clears the error.
  IoStatus DropUnreadable() override {
    if (guard_.failures() == 0) return IoStatus::Ok();
    if (device_) return Health();
    for (const MediaRange& range : guard_.Ranges()) {
      const std::vector<std::byte> zeros(std::min<std::uint64_t>(range.bytes, kPiece));
      for (std::uint64_t at = range.offset; at < range.offset + range.bytes; at += zeros.size()) {
        const auto rest = std::min<std::uint64_t>(zeros.size(), range.offset + range.bytes - at);
        if (IoStatus status = WriteFile(at, std::span(zeros).first(rest)); !status.ok()) return status;
      }
    }
    if (IoStatus status = SyncFile(); !status.ok()) return status;
    return MapAgain();
  }

  // Only a device DAX can be shared with a device: the pages of a file system may move.
  [[nodiscard]] std::span<std::byte> shared() override {
    return device_ ? std::span(map_.base, map_.bytes) : std::span<std::byte>();
  }

  // Incoming DMA ends in the processor's cache (DDIO), which is not durable unless the domain says so.
  void Landed(std::uint64_t offset, std::size_t size) override {
    if (domain_ == PersistenceDomain::kCacheLine) pmem_flush(map_.base + offset, size);
    if (domain_ == PersistenceDomain::kPage) undrained_ = true;
  }

  IoStatus Drain() override {
    if (!failed_.empty()) return IoStatus(failed_);
    switch (domain_) {
      case PersistenceDomain::kVolatile: break;
      case PersistenceDomain::kPage: return SyncFile();
      case PersistenceDomain::kCacheLine:
      case PersistenceDomain::kCpuCache: pmem_drain(); break;
    }
    return IoStatus::Ok();
  }

  Status Grow(std::uint64_t bytes) override {
    if (device_ || bytes <= map_.bytes) return Status::Ok();
    const int error = Allocate(fd_, map_.bytes, bytes, map_.sync);
    if (error != 0) {
      (void)!ftruncate(fd_, static_cast<off_t>(map_.bytes));  // Allocate may have stopped half way
      return {CodeOf(error), fmt::format("cannot grow the pool {} from {} to {} bytes: {}: free space or lower "
                                         "faha.pool-bytes",
                                         path_, map_.bytes, bytes, ErrnoText(error))};
    }
    auto larger = Map(fd_, bytes, false, path_);
    if (!larger.ok()) return larger.status();
    munmap(map_.base, map_.bytes);
    map_ = *larger;
    guard_.Watch(map_.base, map_.bytes);
    mapped_.assign(Pieces(), false);
    return Status::Ok();
  }

 private:
  // Maps the file again, at the same address, in the place of the zeros that had replaced parts of it.
  IoStatus MapAgain() {
    const int sync = map_.sync ? MAP_SHARED_VALIDATE | MAP_SYNC : MAP_SHARED;
    if (mmap(map_.base, map_.bytes, PROT_READ | PROT_WRITE, sync | MAP_FIXED, fd_, 0) == MAP_FAILED) {
      return Failed(fmt::format("cannot map the pool {} again: {}", path_, ErrnoText(errno)));
    }
    const auto ranges = guard_.Ranges();
    guard_.Watch(map_.base, map_.bytes);
    mapped_.assign(Pieces(), false);
    for (const MediaRange& range : ranges) {
      for (std::uint64_t at = range.offset; at < range.offset + range.bytes; at += kPage)
        (void)*static_cast<const volatile std::byte*>(map_.base + at);
    }
    return Health();
  }

  [[nodiscard]] std::size_t Pieces() const { return (map_.bytes + kPiece - 1) / kPiece; }

  // Maps the pages before they are first stored to: the kernel maps many pages at once faster than one at a time.  Puts
  // into a new pool on tmpfs became 1.3 times faster.
  void MapAhead(std::uint64_t offset, std::size_t size) {
    if (domain_ == PersistenceDomain::kPage || device_) return;
    for (std::uint64_t piece = offset / kPiece; piece * kPiece < offset + size; ++piece) {
      if (mapped_[piece]) continue;
      mapped_[piece] = true;
      const std::uint64_t start = piece * kPiece;
      // If the kernel refuses, the stores themselves map the pages later.
      (void)madvise(map_.base + start, std::min<std::uint64_t>(kPiece, map_.bytes - start), MADV_POPULATE_WRITE);
    }
  }

  // Uses pwrite and not a store into the mapping: a full or failing device is then an error, not a SIGBUS, and pwrite
  // was measured to be 1.1 to 2 times faster than a store and msync.  Linux keeps the two views of a file coherent.
  IoStatus WriteFile(std::uint64_t offset, std::span<const std::byte> data) {
    // If somebody has cut the file short, pwrite would make it grow again, and the part that was cut would read as
    // zeros without any error.
    struct stat info {};
    if (fstat(fd_, &info) != 0) return Failed(WriteFailure(errno));
    if (static_cast<std::uint64_t>(info.st_size) < map_.bytes) {
      return Failed(
          fmt::format("the pool {} was cut short while it was in use, from {} bytes to {}: restore it, and "
                      "restart the node",
                      path_, map_.bytes, info.st_size));
    }
    undrained_ = true;
    while (!data.empty()) {
      const ssize_t n = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return Failed(WriteFailure(n < 0 ? errno : ENOSPC));
      data = data.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return IoStatus::Ok();
  }

  IoStatus SyncFile() {
    if (!undrained_) return IoStatus::Ok();
    if (fdatasync(fd_) != 0) {
      return Failed(fmt::format("fdatasync of the pool {} failed: {}: restart the node once the device is healthy",
                                path_, ErrnoText(errno)));
    }
    undrained_ = false;
    return IoStatus::Ok();
  }

  // All blocks of a pool are allocated when it is created.  If a write still finds no block, the pool is a copy that
  // shares its blocks with another file, is on a file system that never writes in place, or has met a quota or a limit.
  [[nodiscard]] std::string WriteFailure(int error) const {
    const bool no_space = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return fmt::format("writing the pool {} failed: {} (errno {}): {}", path_, ErrnoText(error), error,
                       no_space
                           ? "the file system gives no space to the pool's own file, although its blocks should be "
                             "its own: free space there, or lift its quota or the process's file-size limit, and "
                             "restart the node"
                           : "restart the node once the device is healthy");
  }

  // What a failed write or sync has left on the medium is unknown, and the system reports the failure only once.  So it
  // is remembered here, and every later write and drain fails with it, too.
  IoStatus Failed(std::string what) {
    failed_ = std::move(what);
    return IoStatus(failed_);
  }

  std::string path_;
  int fd_;
  Mapping map_;
  bool device_;
  PersistenceDomain domain_;
  BusGuard guard_;
  static constexpr std::uint64_t kPiece = std::uint64_t{256} << 10;
  static constexpr std::uint64_t kPage = 4096;  // the smallest page size that there is
  std::vector<bool> mapped_;                    // for each piece: has this process written to it?
  // Is there something for fdatasync to do?  At first that is unknown: a process that died may not have drained.
  bool undrained_ = true;
  std::string failed_;  // the first write or drain that failed; empty if none did
};

// Chooses the domain to use, and logs a line on why.  Errors: BadConfig - the medium cannot have the domain that is
// wanted.
Result<PersistenceDomain> ChooseDomain(const MediaOptions& options, const MediumFacts& facts,
                                       std::optional<PersistenceDomain> wanted) {
  const auto [detected, reason] = DetectDomain(facts);
  const PersistenceDomain domain = wanted.value_or(detected);
  if (domain == PersistenceDomain::kPage && facts.kind == MediumKind::kDeviceDax) {
    return Status{Code::kBadConfig,
                  fmt::format("faha.persistence-domain page needs a file, and {} is a device DAX: use "
                              "auto",
                              options.path)};
  }
  if (domain > detected) {
    options.log(LogLevel::kWarning,
                fmt::format("faha.persistence-domain {} promises more than the pool {} was found to keep ({}: {}): if "
                            "it is wrong, a power failure loses acknowledged writes",
                            DomainName(domain), options.path, DomainName(detected), reason));
  } else if (wanted) {
    options.log(LogLevel::kNotice, fmt::format("the pool {} is used as {}, as faha.persistence-domain says ({}: {})",
                                               options.path, DomainName(domain), DomainName(detected), reason));
  } else {
    options.log(LogLevel::kNotice, fmt::format("the pool {} is {} ({})", options.path, DomainName(detected), reason));
  }
  return domain;
}

// A mapping that cannot be written.
class ReadOnlyMedia : public Media {
 public:
  ReadOnlyMedia(std::string path, int fd, const std::byte* base, std::size_t size)
      : path_(std::move(path)), fd_(fd), base_(base), size_(size) {
    guard_.Watch(base, size);
  }
  ~ReadOnlyMedia() override {
    munmap(const_cast<std::byte*>(base_), size_);
    close(fd_);
  }
  ReadOnlyMedia(const ReadOnlyMedia&) = delete;
  ReadOnlyMedia& operator=(const ReadOnlyMedia&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const override { return {base_, size_}; }
  [[nodiscard]] PersistenceDomain domain() const override { return PersistenceDomain::kVolatile; }
  [[nodiscard]] std::uint32_t granule() const override { return GranuleOf(domain()); }
  IoStatus Write(std::uint64_t, std::span<const std::byte>) override {
    return IoStatus("the pool is open for reading only");
  }
  void Landed(std::uint64_t, std::size_t) override { FAHA_CHECK(false, "no device writes what is only read"); }
  IoStatus Drain() override { return IoStatus::Ok(); }
  [[nodiscard]] IoStatus Health() const override {
    return guard_.failures() == 0 ? IoStatus::Ok() : IoStatus(ReadFailure(guard_, path_));
  }
  [[nodiscard]] std::vector<MediaRange> Unreadable() const override { return guard_.Ranges(); }
  Status Grow(std::uint64_t) override { return {Code::kIoError, "the pool is open for reading only"}; }

 private:
  std::string path_;
  int fd_;
  const std::byte* base_;
  std::size_t size_;
  BusGuard guard_;
};

}  // namespace

Result<std::unique_ptr<Media>> OpenMediaReadOnly(const std::string& path) {
  const auto failed = [&](std::string_view what) {
    return Status{Code::kIoError, fmt::format("cannot {} the pool {}: {}", what, path, ErrnoText(errno))};
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed("open");
  struct stat info {};
  Status status = fstat(fd, &info) != 0 ? failed("look at") : Lock(fd, path, F_RDLCK);
  const std::uint64_t size = status.ok() ? SizeOf(info) : 0;
  if (status.ok() && size == 0) {
    status = {Code::kPoolSize, fmt::format("{} is empty, or no file and no device DAX: name a pool", path)};
  }
  void* base = status.ok() ? mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (status.ok() && base == MAP_FAILED) status = failed("map");
  if (!status.ok()) {
    close(fd);
    return status;
  }
  return std::unique_ptr<Media>(std::make_unique<ReadOnlyMedia>(path, fd, static_cast<const std::byte*>(base), size));
}

Result<std::unique_ptr<Media>> OpenMedia(const MediaOptions& options) {
  const auto wanted = ParseDomain(options.domain);
  if (options.domain != "auto" && !wanted) {
    return Status{Code::kBadConfig, fmt::format("faha.persistence-domain '{}' is unknown: use auto, volatile, page, "
                                                "cacheline or cpu_cache",
                                                options.domain)};
  }
  IgnoreFileSizeSignal();
  if (access(options.path.c_str(), F_OK) != 0 && errno == ENOENT && options.create_bytes > 0) {
    if (Status status = CreateFile(options.path, options.create_bytes); !status.ok()) return status;
  }
  auto pool = OpenPool(options.path, options.log);
  if (!pool.ok()) return pool.status();
  auto map = Map(pool->fd, pool->bytes, pool->device, options.path);
  if (!map.ok()) {
    close(pool->fd);
    return map.status();
  }
  const MediumKind kind = pool->device                   ? MediumKind::kDeviceDax
                          : OnMemoryFileSystem(pool->fd) ? MediumKind::kMemoryFile
                                                         : MediumKind::kFile;
  auto domain = ChooseDomain(options, {kind, map->sync, pool->region}, wanted);
  auto media = std::make_unique<PoolMedia>(options.path, pool->fd, *map, pool->device,
                                           domain.ok() ? *domain : PersistenceDomain::kVolatile);
  if (!domain.ok()) return domain.status();
  if (pool->device) {
    if (Status status = MapHugePages(*map, options.path); !status.ok()) return status;
  }
  return std::unique_ptr<Media>(std::move(media));
}

}  // namespace faha
