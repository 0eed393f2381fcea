// Media on libpmem: device DAX, fsdax and plain files.  Thread: main loop only.
// Invariants: (1) one process at a time has a pool open for writing (an fcntl lock, which a forked child does not
// inherit).
//             (2) a pool file has its full size and all its blocks from the moment its name exists.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "faha/media.h"

namespace faha {

struct MediaOptions {
  std::string path;
  std::uint64_t create_bytes = 0;  // the size of a file that does not exist yet; 0: do not create
  std::string domain = "auto";     // auto, volatile, page, cacheline, cpu_cache
};

// Maps the pool at `options.path`, creating a zero-filled file where there is none.
// The domain is detected: cpu_cache or cacheline where libpmem says the mapping is persistent memory, volatile on a
// memory file system, page elsewhere.  An override stronger than what was detected is the administrator's word.
// Errors: BadConfig - unknown domain; NoSpace - the file system cannot hold the pool; PoolInUse; IoError.
Result<std::unique_ptr<Media>> OpenMedia(const MediaOptions& options);

// Maps the pool at `path` to be looked at: it must exist and may be a file without write permission; Write() is an
// IoError.  While it is open nobody else can open it for writing.
// Errors: PoolInUse; PoolSize - it is empty; IoError.
Result<std::unique_ptr<Media>> OpenMediaReadOnly(const std::string& path);

}  // namespace faha
