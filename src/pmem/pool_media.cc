#include "pmem/pool_media.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libpmem.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
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
using pool_file::OpenPool;
using pool_file::SizeOf;

std::optional<PersistenceDomain> ParseDomain(const std::string& name) {
  for (auto domain : {PersistenceDomain::kVolatile, PersistenceDomain::kPage, PersistenceDomain::kCacheLine,
                      PersistenceDomain::kCpuCache}) {
    if (name == DomainName(domain)) return domain;
  }
  return std::nullopt;
}

// Optane writes 256-byte lines, a block device whole pages; DRAM its cache lines.
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

struct Mapping {
  std::byte* base = nullptr;
  std::size_t bytes = 0;
  bool sync = false;  // MAP_SYNC: a store that was flushed is durable, for the file system's part is
};

// Not pmem_map_file: its is_pmem means that MAP_SYNC was granted or that this is a device DAX, of whatever memory, or
// that PMEM_IS_PMEM_FORCE is set.  It also closes a descriptor of the pool, which drops the lock.
Result<Mapping> Map(int fd, std::size_t bytes, bool device, const std::string& path) {
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  void* base = device ? MAP_FAILED : mmap(nullptr, bytes, kAccess, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  const bool sync = base != MAP_FAILED;
  if (!sync) base = mmap(nullptr, bytes, kAccess, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    return Status{CodeOf(errno), fmt::format("cannot map the {} bytes of the pool {}: {}", bytes, path,
                                             bytes == 0 ? "it is empty" : ErrnoText(errno))};
  }
  return Mapping{static_cast<std::byte*>(base), bytes, sync};
}

// A device DAX is mapped in huge pages or not at all, and a process that has forbidden itself transparent huge pages,
// as redis-server does, dies of SIGBUS at its first touch (Linux 6.1).  So every page is mapped here, with the ban
// lifted.
Status MapHugePages(const Mapping& map, const std::string& path) {
  const int banned = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
  if (banned == 1) (void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  const int error = madvise(map.base, map.bytes, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
  if (banned == 1) (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  if (error == 0) return Status::Ok();
  return {Code::kIoError, fmt::format("cannot map all of the device {}: {}: check it with ndctl, and use Linux 5.14 or "
                                      "later",
                                      path, ErrnoText(error))};
}

class PoolMedia : public Media {
 public:
  // The descriptor and the mapping are its own from now on.
  PoolMedia(std::string path, int fd, const Mapping& map, bool device, PersistenceDomain domain)
      : path_(std::move(path)), fd_(fd), map_(map), device_(device), domain_(domain) {
    mapped_.assign(Pieces(), false);
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
    std::byte* to = map_.base + offset;
    MapAhead(offset, data.size());
    switch (domain_) {
      case PersistenceDomain::kVolatile: std::memcpy(to, data.data(), data.size()); break;
      case PersistenceDomain::kPage: return WriteFile(offset, data);
      case PersistenceDomain::kCacheLine:
      case PersistenceDomain::kCpuCache:
        // Non-temporal: a log is not read back soon, and an ordinary store would read the line first.
        pmem_memcpy(to, data.data(), data.size(), PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
        break;
    }
    return IoStatus::Ok();
  }

  // Device DAX only: the pages of a file system may move.
  [[nodiscard]] std::span<std::byte> shared() override {
    return device_ ? std::span(map_.base, map_.bytes) : std::span<std::byte>();
  }

  // Incoming DMA ends in the processor's cache (DDIO), which is not durable unless the domain says so.
  void Landed(std::uint64_t offset, std::size_t size) override {
    if (domain_ == PersistenceDomain::kCacheLine) pmem_flush(map_.base + offset, size);
    if (domain_ == PersistenceDomain::kPage) undrained_ = true;
  }

  IoStatus Drain() override {
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
      (void)!ftruncate(fd_, static_cast<off_t>(map_.bytes));  // may have stopped half way
      return {CodeOf(error), fmt::format("cannot grow the pool {} from {} to {} bytes: {}: free space or lower "
                                         "faha.pool-bytes",
                                         path_, map_.bytes, bytes, ErrnoText(error))};
    }
    auto larger = Map(fd_, bytes, false, path_);
    if (!larger.ok()) return larger.status();
    munmap(map_.base, map_.bytes);
    map_ = *larger;
    mapped_.assign(Pieces(), false);
    return Status::Ok();
  }

 private:
  [[nodiscard]] std::size_t Pieces() const { return (map_.bytes + kPiece - 1) / kPiece; }

  // The kernel maps many pages at once faster than one at a time when they are first stored to: puts into a new pool
  // on tmpfs became 1.3 times faster.
  void MapAhead(std::uint64_t offset, std::size_t size) {
    if (domain_ == PersistenceDomain::kPage || device_) return;
    for (std::uint64_t piece = offset / kPiece; piece * kPiece < offset + size; ++piece) {
      if (mapped_[piece]) continue;
      mapped_[piece] = true;
      const std::uint64_t start = piece * kPiece;
      // Where the kernel will not, the stores below do it.
      (void)madvise(map_.base + start, std::min<std::uint64_t>(kPiece, map_.bytes - start), MADV_POPULATE_WRITE);
    }
  }

  // pwrite and not a store into the mapping: a full or failing device is an error here, not a SIGBUS, and it measured
  // 1.1 to 2 times faster than a store and msync.  Linux keeps the two views of a file coherent.
  IoStatus WriteFile(std::uint64_t offset, std::span<const std::byte> data) {
    if (!failed_.empty()) return IoStatus(failed_);
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
    if (!failed_.empty()) return IoStatus(failed_);
    if (!undrained_) return IoStatus::Ok();
    if (fdatasync(fd_) != 0) {
      return Failed(fmt::format("fdatasync of the pool {} failed: {}: restart the node once the device is healthy",
                                path_, ErrnoText(errno)));
    }
    undrained_ = false;
    return IoStatus::Ok();
  }

  // All blocks of a pool are taken when it is created; one that still finds none is a copy that shares its blocks with
  // another file, is on a file system that never writes in place, or has met a quota or a limit.
  [[nodiscard]] std::string WriteFailure(int error) const {
    const bool no_space = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return fmt::format("writing the pool {} failed: {} (errno {}): {}", path_, ErrnoText(error), error,
                       no_space
                           ? "the file system gives no space to the pool's own file, although its blocks should be "
                             "its own: free space there, or lift its quota or the process's file-size limit, and "
                             "restart the node"
                           : "restart the node once the device is healthy");
  }

  // What a failed write or sync has left is unknown, and the system tells of it once: whoever goes on is told again.
  IoStatus Failed(std::string what) {
    failed_ = std::move(what);
    return IoStatus(failed_);
  }

  std::string path_;
  int fd_;
  Mapping map_;
  bool device_;
  PersistenceDomain domain_;
  static constexpr std::uint64_t kPiece = std::uint64_t{256} << 10;
  std::vector<bool> mapped_;  // by pieces, what this process has written to
  // Is there something for fdatasync to do?  At first that is unknown: a process that died may not have drained.
  bool undrained_ = true;
  std::string failed_;  // the first write or drain that failed; empty if none did
};

// The domain in use, and a line on why.  Errors: BadConfig - the medium cannot have the one that is wanted.
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
  ReadOnlyMedia(int fd, const std::byte* base, std::size_t size) : fd_(fd), base_(base), size_(size) {}
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
  Status Grow(std::uint64_t) override { return {Code::kIoError, "the pool is open for reading only"}; }

 private:
  int fd_;
  const std::byte* base_;
  std::size_t size_;
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
  return std::unique_ptr<Media>(std::make_unique<ReadOnlyMedia>(fd, static_cast<const std::byte*>(base), size));
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
