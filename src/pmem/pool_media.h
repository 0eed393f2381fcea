// Media on persistent memory and files: device DAX, fsdax and plain files.  Thread: main loop only.
// Invariants: (1) one process at a time has a pool open for writing (an fcntl lock, which a forked child does not
//                 inherit).
//             (2) a pool file has its full size and all its blocks from the moment its name exists.
//             (3) no store of a log is flushed twice: either it goes past the caches, or Landed flushes it once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "faha/media.h"
#include "faha/options.h"

namespace faha {

struct MediaOptions {
  std::string path;
  std::uint64_t create_bytes = 0;  // the size of a file that does not exist yet; 0: do not create
  std::string domain = "auto";     // auto, volatile, page, cacheline, cpu_cache
  LogSink log = [](LogLevel, std::string_view) {};
};

// Maps the pool at `options.path`, creating a zero-filled file where there is none.
// The domain is detected (see detect.h).  If the administrator has set another one, that one is used; a warning in the
// log says so if it promises more than what was detected.
// Errors: BadConfig - unknown domain, or one the medium cannot have; NoSpace - the file system cannot hold the pool;
// PoolInUse; IoError.
Result<std::unique_ptr<Media>> OpenMedia(const MediaOptions& options);

// Maps the pool at `path` for reading only: it must exist and may be a file without write permission; Write() returns
// an IoError.  While it is open nobody else can open it for writing.
// Errors: PoolInUse; PoolSize - it is empty; IoError.
Result<std::unique_ptr<Media>> OpenMediaReadOnly(const std::string& path);

}  // namespace faha
