// A checkpoint: the index as it was when the node stopped, in a file beside the pool.  It saves the next start the
// replay of the log and nothing else: one that is missing, damaged or of another state of the log is ignored, and said
// so. Thread: main loop only.
//
//   header      what state of which log it belongs to
//   expiring    how many keys have an expiry
//   usage       for every segment: SegmentUsage
//   index       as Indexes::Save writes it
//   checksum    of all that
#pragma once

#include <cstdint>
#include <string>

#include "faha/status.h"
#include "faha/types.h"
#include "log/log.h"
#include "store/engine.h"

namespace faha {

// Writes `engine` to a new file and renames it to `path`.  The engine must have applied all of the log.
// Errors: IoError, NoSpace - there is no checkpoint then.
Status WriteCheckpoint(const std::string& path, const Log& log, const Engine& engine);

// Ok: `engine` is as it was, and has applied what the checkpoint says.  Errors: Unavailable - there is none;
// Corrupt - and why it is not used; `engine` is empty then.
Status ReadCheckpoint(const std::string& path, const Log& log, Engine& engine);

}  // namespace faha
