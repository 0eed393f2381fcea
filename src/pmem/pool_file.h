// The file or device that a pool is: created, opened, locked, and given its blocks.  Thread: main loop only.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "faha/options.h"
#include "faha/status.h"
#include "pmem/detect.h"

namespace faha::pool_file {

std::string ErrnoText(int error);
// Of what fails before a pool is in use: it may be too large for where it should be.
Code CodeOf(int error);

// Takes the blocks from `from` up to `to`; the errno of what fails, or 0.  With MAP_SYNC they are written as well, in
// one sequential pass: blocks that are only promised become real one page and one journal commit at a time, which made
// the first writes to a pool 5 times slower.
int Allocate(int fd, std::uint64_t from, std::uint64_t to, bool map_sync);

// Allocates the whole file under a temporary name, so that a crash half way leaves no short pool behind.
// Errors: NoSpace - the file system cannot hold it; IoError.
Status CreateFile(const std::string& path, std::uint64_t bytes);

// `type`: F_WRLCK, or F_RDLCK, which several may hold.  Errors: PoolInUse; IoError.
Status Lock(int fd, const std::string& path, short type);

// An open, locked pool.
struct OpenedPool {
  int fd = -1;
  bool device = false;
  std::uint64_t bytes = 0;
  std::optional<NvdimmRegion> region;
};
// Opens it for writing.  A file that was copied without its holes filled gets the blocks that it lacks now, for a write
// that finds none stops the node.
// Errors: PoolInUse; NoSpace - the file lacks blocks and the file system has none; IoError.
Result<OpenedPool> OpenPool(const std::string& path, const LogSink& log);

// The size of a file or, which stat does not know, of a device DAX; 0 if it cannot be told.
std::uint64_t SizeOf(const struct stat& info);

// The write beyond a file-size limit (RLIMIT_FSIZE) is an error as any other: its signal would end the process.
void IgnoreFileSizeSignal();

}  // namespace faha::pool_file
