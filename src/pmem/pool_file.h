// The file or device that a pool is: created, opened, locked, and given its blocks.  Thread: main loop only.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "faha/options.h"
#include "faha/status.h"
#include "pmem/detect.h"

namespace faha::pool_file {

std::string ErrnoText(int error);
// The code for an errno of something that fails before a pool is in use: NoSpace if the pool is too large for its file
// system, otherwise IoError.
Code CodeOf(int error);

// Allocates the blocks of the file from byte `from` up to `to`; returns the errno of what fails, or 0.  With MAP_SYNC
// the blocks are written as well, in one sequential pass: blocks that are only reserved become real one page and one
// journal commit at a time, which made the first writes to a pool 5 times slower.
int Allocate(int fd, std::uint64_t from, std::uint64_t to, bool map_sync);

// Allocates the whole file under a temporary name, so that a crash half way leaves no short pool behind.
// Errors: NoSpace - the file system cannot hold it; IoError.
Status CreateFile(const std::string& path, std::uint64_t bytes);

// `type`: F_WRLCK, or F_RDLCK, which several processes may hold.  Errors: PoolInUse; IoError.
Status Lock(int fd, const std::string& path, short type);

// An open, locked pool.
struct OpenedPool {
  int fd = -1;
  bool device = false;
  std::uint64_t bytes = 0;
  std::optional<NvdimmRegion> region;
};
// Opens the pool at `path` for writing.  A file that was copied with holes gets the blocks that it lacks now, because a
// later write that finds no free block stops the node.
// Errors: PoolInUse; NoSpace - the file lacks blocks and the file system has none; IoError.
Result<OpenedPool> OpenPool(const std::string& path, const LogSink& log);

struct Mapping {
  std::byte* base = nullptr;
  std::size_t bytes = 0;
  bool sync = false;  // MAP_SYNC: a flushed store is durable, for the file system's metadata are, too
};
// Maps all of the file or device, readable and writable.
// It does not use pmem_map_file: its is_pmem means that MAP_SYNC was granted, or that this is a device DAX, of whatever
// memory, or that PMEM_IS_PMEM_FORCE is set.  It also closes a descriptor of the pool, which drops the lock.
Result<Mapping> Map(int fd, std::size_t bytes, bool device, const std::string& path);

// A device DAX is mapped in huge pages or not at all, and a process that has forbidden itself transparent huge pages,
// as redis-server does, dies of SIGBUS at its first touch (Linux 6.1).  So every page is mapped here, with the ban
// lifted.
Status MapHugePages(const Mapping& map, const std::string& path);

// The size of a file or of a device DAX, whose size stat does not know; 0 if it cannot be found out.
std::uint64_t SizeOf(const struct stat& info);

// Makes a write beyond the file-size limit (RLIMIT_FSIZE) an ordinary error: without this its signal would end the
// process.
void IgnoreFileSizeSignal();

}  // namespace faha::pool_file
