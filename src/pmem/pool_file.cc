#include "pmem/pool_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <vector>

namespace faha::pool_file {
namespace {

constexpr const char* kSysfs = "/sys";
constexpr std::uint64_t kStatBlock = 512;  // bytes of what st_blocks counts, on every file system

// Does the file system grant MAP_SYNC?  Then every page's first store into the mapping of a new file is a commit of the
// file system's journal.
bool GrantsMapSync(int fd) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* probe = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  return probe != MAP_FAILED && munmap(probe, page) == 0;
}

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

// Reserves the blocks that a sparse file lacks.  A file system that cannot reserve blocks gets a warning in the log:
// there a write may still find no block.
Status TakeMissingBlocks(int fd, const struct stat& info, const std::string& path, const LogSink& log) {
  const auto size = static_cast<std::uint64_t>(info.st_size);
  const std::uint64_t owned = static_cast<std::uint64_t>(info.st_blocks) * kStatBlock;
  if (owned >= size) return Status::Ok();
  // posix_fallocate is not used here: it writes to every block if the file system cannot reserve.
  if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(size)) == 0) {
    log(LogLevel::kNotice,
        fmt::format("the pool {} was sparse, with {} of its {} bytes: it has been given the rest", path, owned, size));
    return Status::Ok();
  }
  const int error = errno;
  if (error == EOPNOTSUPP || error == ENOSYS) {
    log(LogLevel::kWarning, fmt::format("the pool {} owns {} of its {} bytes, and its file system cannot reserve the "
                                        "rest: this node stops when a write finds no free space there",
                                        path, owned, size));
    return Status::Ok();
  }
  return {CodeOf(error),
          fmt::format("the pool {} owns {} of its {} bytes, and cannot be given the rest: {}: free space "
                      "on its file system",
                      path, owned, size, ErrnoText(error))};
}

}  // namespace

std::string ErrnoText(int error) { return std::strerror(error); }

Code CodeOf(int error) {
  return error == ENOSPC || error == EFBIG || error == EDQUOT ? Code::kNoSpace : Code::kIoError;
}

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

Status CreateFile(const std::string& path, std::uint64_t bytes) {
  const std::string fresh = path + ".new";
  const int fd = open(fresh.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) {
    return {CodeOf(errno),
            fmt::format("cannot create {}: {}: check faha.pool-path and its folder's rights", fresh, ErrnoText(errno))};
  }
  int error = posix_fallocate(fd, 0, 1);  // GrantsMapSync needs a file that is not empty
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

Result<OpenedPool> OpenPool(const std::string& path, const LogSink& log) {
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
  if (status.ok() && !pool.device) status = TakeMissingBlocks(pool.fd, info, path, log);
  if (!status.ok()) {
    close(pool.fd);
    return status;
  }
  pool.bytes = pool.device ? *device_bytes : static_cast<std::uint64_t>(info.st_size);
  pool.region = RegionOf(kSysfs, pool.device, pool.device ? info.st_rdev : info.st_dev);
  return pool;
}

Result<Mapping> Map(int fd, std::size_t bytes, bool device, const std::string& path) {
  constexpr int kAccess = PROT_READ | PROT_WRITE;
  void* base = device ? MAP_FAILED : mmap(nullptr, bytes, kAccess, MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0);
  const bool sync = base != MAP_FAILED;
  if (!sync) base = mmap(nullptr, bytes, kAccess, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) {
    return Status{CodeOf(errno),
                  fmt::format("cannot map the {} bytes of the pool {}: {}", bytes, path,
                              bytes == 0 ? "it is empty; remove it, and the node makes a new one" : ErrnoText(errno))};
  }
  return Mapping{static_cast<std::byte*>(base), bytes, sync};
}

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

std::uint64_t SizeOf(const struct stat& info) {
  if (S_ISCHR(info.st_mode)) return DeviceDaxBytes(kSysfs, info.st_rdev).value_or(0);
  return static_cast<std::uint64_t>(info.st_size);
}

void IgnoreFileSizeSignal() {
  struct sigaction now {};
  if (sigaction(SIGXFSZ, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 && now.sa_handler == SIG_DFL)
    (void)std::signal(SIGXFSZ, SIG_IGN);
}

}  // namespace faha::pool_file
