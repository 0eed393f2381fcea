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

constexpr const char* kSysfs = "/sys";

std::string ErrnoText(int error) { return std::strerror(error); }

Code CodeOf(int error) {
  return error == ENOSPC || error == EFBIG || error == EDQUOT ? Code::kNoSpace : Code::kIoError;
}

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

// Is every page's first store into the mapping of a new file a commit of the file system's journal?
bool GrantsMapSync(int fd) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* probe = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  return probe != MAP_FAILED && munmap(probe, page) == 0;
}

// Takes the blocks from `from` up to `to`; the errno of what fails, or 0.  With MAP_SYNC they are written as well, in
// one sequential pass: blocks that are only promised become real one page and one journal commit at a time, which made
// the first writes to a pool 5 times slower.
int Allocate(int fd, std::uint64_t from, std::uint64_t to, bool map_sync) {
  int error = posix_fallocate(fd, static_cast<off_t>(from), static_cast<off_t>(to - from));
  const std::vector<char> zeros(map_sync ? 1U << 20 : 0);
  while (error == 0 && map_sync && from < to) {
    const ssize_t n =
        pwrite(fd, zeros.data(), std::min<std::uint64_t>(zeros.size(), to - from), static_cast<off_t>(from));
    if (n > 0) from += static_cast<std::uint64_t>(n);
    if (n < 0 && errno != EINTR) error = errno;
  }
  if (error == 0 && fsync(fd) != 0) error = errno;
  return error;
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

  Status Write(std::uint64_t offset, std::span<const std::byte> data) override {
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
    return Status::Ok();
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

  Status Drain() override {
    switch (domain_) {
      case PersistenceDomain::kVolatile: break;
      case PersistenceDomain::kPage: return SyncFile();
      case PersistenceDomain::kCacheLine:
      case PersistenceDomain::kCpuCache: pmem_drain(); break;
    }
    return Status::Ok();
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
  Status WriteFile(std::uint64_t offset, std::span<const std::byte> data) {
    undrained_ = true;
    while (!data.empty()) {
      const ssize_t n = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return {CodeOf(errno), fmt::format("writing the pool failed: {}", ErrnoText(errno))};
      data = data.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return Status::Ok();
  }

  Status SyncFile() {
    if (!undrained_) return Status::Ok();
    if (fdatasync(fd_) != 0) {
      return {Code::kIoError, fmt::format("fdatasync of the pool failed: {}: restart the node once the device is "
                                          "healthy",
                                          ErrnoText(errno))};
    }
    undrained_ = false;
    return Status::Ok();
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
};

Status SyncFolderOf(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) {
    const Status status{Code::kIoError, fmt::format("cannot sync the folder {}: {}", folder, ErrnoText(errno))};
    if (fd >= 0) close(fd);
    return status;
  }
  close(fd);
  return Status::Ok();
}

// Allocates the whole file under a temporary name, so that a crash half way leaves no short pool behind.
Status CreateFile(const std::string& path, std::uint64_t bytes) {
  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    return {CodeOf(errno),
            fmt::format("cannot create {}: {}: check faha.pool-path and its folder's rights", fresh, ErrnoText(errno))};
  }
  int error = posix_fallocate(fd, 0, 1);  // something to probe
  if (error == 0) error = Allocate(fd, 0, bytes, GrantsMapSync(fd));
  close(fd);
  if (error == 0 && rename(fresh.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    unlink(fresh.c_str());
    return {CodeOf(error),
            fmt::format("cannot allocate {} bytes for the pool {}: {}: free space or lower faha.pool-bytes", bytes,
                        path, ErrnoText(error))};
  }
  return SyncFolderOf(path);
}

// `type`: F_WRLCK, or F_RDLCK, which several may hold.
Status Lock(int fd, const std::string& path, short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd, F_SETLK, &lock) == 0) return Status::Ok();
  const int error = errno;
  if (error != EAGAIN && error != EACCES) {
    return {Code::kIoError, fmt::format("cannot lock the pool {}: {}", path, ErrnoText(error))};
  }
  struct flock holder = lock;
  const bool known = fcntl(fd, F_GETLK, &holder) == 0 && holder.l_type != F_UNLCK;
  return {Code::kPoolInUse, fmt::format("the pool {} is in use by {}: stop it or set another faha.pool-path", path,
                                        known ? fmt::format("process {}", holder.l_pid) : "another process")};
}

// An open, locked pool.
struct OpenedPool {
  int fd = -1;
  bool device = false;
  std::uint64_t bytes = 0;
  std::optional<NvdimmRegion> region;
};

Result<OpenedPool> OpenPool(const std::string& path) {
  OpenedPool pool;
  pool.fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat info {};
  if (pool.fd < 0 || fstat(pool.fd, &info) != 0) {
    const int error = errno;
    if (pool.fd >= 0) close(pool.fd);
    return Status{CodeOf(error), fmt::format("cannot open the pool {}: {}", path, ErrnoText(error))};
  }
  pool.device = S_ISCHR(info.st_mode);
  const std::optional<std::uint64_t> device_bytes =
      pool.device ? DeviceDaxBytes(kSysfs, info.st_rdev) : std::optional<std::uint64_t>();
  Status status = Lock(pool.fd, path, F_WRLCK);
  if (status.ok() && (pool.device ? !device_bytes : !S_ISREG(info.st_mode))) {
    status = {Code::kIoError, fmt::format("the pool {} is neither a file nor a device DAX: set another faha.pool-path "
                                          "(a block device needs a file system, or ndctl's mode devdax)",
                                          path)};
  }
  if (!status.ok()) {
    close(pool.fd);
    return status;
  }
  pool.bytes = pool.device ? *device_bytes : static_cast<std::uint64_t>(info.st_size);
  pool.region = RegionOf(kSysfs, pool.device, pool.device ? info.st_rdev : info.st_dev);
  return pool;
}

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
  Status Write(std::uint64_t, std::span<const std::byte>) override {
    return {Code::kIoError, "the pool is open for reading only"};
  }
  void Landed(std::uint64_t, std::size_t) override { FAHA_CHECK(false, "no device writes what is only read"); }
  Status Drain() override { return Status::Ok(); }
  Status Grow(std::uint64_t) override { return {Code::kIoError, "the pool is open for reading only"}; }

 private:
  int fd_;
  const std::byte* base_;
  std::size_t size_;
};

// The size of a file or, which stat does not know, of a device DAX; 0 if it cannot be told.
std::uint64_t SizeOf(const struct stat& info) {
  if (S_ISCHR(info.st_mode)) return DeviceDaxBytes(kSysfs, info.st_rdev).value_or(0);
  return static_cast<std::uint64_t>(info.st_size);
}

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
  if (access(options.path.c_str(), F_OK) != 0 && errno == ENOENT && options.create_bytes > 0) {
    if (Status status = CreateFile(options.path, options.create_bytes); !status.ok()) return status;
  }
  auto pool = OpenPool(options.path);
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
