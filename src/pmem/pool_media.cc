#include "pmem/pool_media.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libpmem.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include "base/check.h"

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

// A device DAX is mapped in huge pages or not at all, and a process that has forbidden itself transparent huge pages,
// as redis-server does, dies of SIGBUS at its first touch (Linux 6.1).  So every page is mapped here, with the ban
// lifted.
Status MapHugePages(void* base, std::size_t size, const std::string& path) {
  const int banned = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
  if (banned == 1) (void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  const int error = madvise(base, size, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
  if (banned == 1) (void)prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  if (error == 0) return Status::Ok();
  return {Code::kIoError, fmt::format("cannot map all of the device {}: {}: check it with ndctl, and use Linux 5.14 or "
                                      "later",
                                      path, ErrnoText(error))};
}

class PoolMedia : public Media {
 public:
  PoolMedia(int fd, std::byte* base, std::size_t size, PersistenceDomain domain)
      : fd_(fd), base_(base), size_(size), domain_(domain) {}
  ~PoolMedia() override {
    pmem_unmap(base_, size_);
    close(fd_);
  }
  PoolMedia(const PoolMedia&) = delete;
  PoolMedia& operator=(const PoolMedia&) = delete;

  [[nodiscard]] std::span<const std::byte> bytes() const override { return {base_, size_}; }
  [[nodiscard]] PersistenceDomain domain() const override { return domain_; }
  [[nodiscard]] std::uint32_t granule() const override { return GranuleOf(domain_); }

  Status Write(std::uint64_t offset, std::span<const std::byte> data) override {
    FAHA_CHECK(offset <= size_ && data.size() <= size_ - offset, "write outside the pool");
    switch (domain_) {
      case PersistenceDomain::kVolatile: std::memcpy(base_ + offset, data.data(), data.size()); return Status::Ok();
      case PersistenceDomain::kPage: return WriteFile(offset, data);
      case PersistenceDomain::kCacheLine:
      case PersistenceDomain::kCpuCache:
        // Non-temporal: a log is not read back soon, and an ordinary store would read the line first.
        pmem_memcpy(base_ + offset, data.data(), data.size(), PMEM_F_MEM_NONTEMPORAL | PMEM_F_MEM_NODRAIN);
        return Status::Ok();
    }
    return Status::Ok();
  }

  // Device DAX only: the pages of a file system may move.
  [[nodiscard]] std::span<std::byte> shared() override {
    struct stat info {};
    const bool device = fstat(fd_, &info) == 0 && S_ISCHR(info.st_mode);
    return device ? std::span(base_, size_) : std::span<std::byte>();
  }

  // Incoming DMA ends in the processor's cache (DDIO), which is not durable unless the domain says so.
  void Landed(std::uint64_t offset, std::size_t size) override {
    if (domain_ == PersistenceDomain::kCacheLine) pmem_flush(base_ + offset, size);
  }

  Status Drain() override {
    switch (domain_) {
      case PersistenceDomain::kVolatile: return Status::Ok();
      case PersistenceDomain::kPage:
        if (fdatasync(fd_) != 0) {
          return {Code::kIoError, fmt::format("fdatasync of the pool failed: {}: restart the node once the device is "
                                              "healthy",
                                              ErrnoText(errno))};
        }
        return Status::Ok();
      case PersistenceDomain::kCacheLine:
      case PersistenceDomain::kCpuCache: pmem_drain(); return Status::Ok();
    }
    return Status::Ok();
  }

 private:
  // pwrite and not a store into the mapping: a full or failing device is an error here, not a SIGBUS, and it measured
  // 1.1 to 2 times faster than a store and msync.  Linux keeps the two views of a file coherent.
  Status WriteFile(std::uint64_t offset, std::span<const std::byte> data) {
    while (!data.empty()) {
      const ssize_t n = pwrite(fd_, data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return {CodeOf(errno), fmt::format("writing the pool failed: {}", ErrnoText(errno))};
      data = data.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return Status::Ok();
  }

  int fd_;
  std::byte* base_;
  std::size_t size_;
  PersistenceDomain domain_;
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
  int error = posix_fallocate(fd, 0, static_cast<off_t>(bytes));
  if (error == 0 && fsync(fd) != 0) error = errno;
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

 private:
  int fd_;
  const std::byte* base_;
  std::size_t size_;
};

// The size of a file or, which stat does not know, of a device DAX; 0 if it cannot be told.
std::uint64_t SizeOf(const struct stat& info) {
  if (!S_ISCHR(info.st_mode)) return static_cast<std::uint64_t>(info.st_size);
  std::uint64_t size = 0;
  std::ifstream(fmt::format("/sys/dev/char/{}:{}/size", major(info.st_rdev), minor(info.st_rdev))) >> size;
  return size;
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
  struct stat info {};
  if (stat(options.path.c_str(), &info) != 0) {
    if (errno != ENOENT || options.create_bytes == 0) {
      return Status{CodeOf(errno), fmt::format("cannot open the pool {}: {}", options.path, ErrnoText(errno))};
    }
    if (Status status = CreateFile(options.path, options.create_bytes); !status.ok()) return status;
  }
  // Mapped before it is locked: pmem_map_file closes a descriptor of its own, and that drops fcntl locks.
  std::size_t mapped = 0;
  int is_pmem = 0;
  void* base = pmem_map_file(options.path.c_str(), 0, 0, 0, &mapped, &is_pmem);
  if (base == nullptr) {
    return Status{CodeOf(errno), fmt::format("cannot map the pool {}: {}", options.path, pmem_errormsg())};
  }
  const int fd = open(options.path.c_str(), O_RDWR | O_CLOEXEC);
  Status status =
      fd < 0 ? Status{CodeOf(errno), fmt::format("cannot open the pool {}: {}", options.path, ErrnoText(errno))}
             : Lock(fd, options.path, F_WRLCK);
  if (status.ok() && S_ISCHR(info.st_mode)) status = MapHugePages(base, mapped, options.path);
  if (!status.ok()) {
    pmem_unmap(base, mapped);
    if (fd >= 0) close(fd);
    return status;
  }
  PersistenceDomain domain = PersistenceDomain::kPage;
  if (is_pmem != 0) {
    domain = pmem_has_auto_flush() == 1 ? PersistenceDomain::kCpuCache : PersistenceDomain::kCacheLine;
  } else if (OnMemoryFileSystem(fd)) {
    domain = PersistenceDomain::kVolatile;
  }
  if (wanted) domain = *wanted;
  return std::unique_ptr<Media>(std::make_unique<PoolMedia>(fd, static_cast<std::byte*>(base), mapped, domain));
}

}  // namespace faha
