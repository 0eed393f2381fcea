// A checkpoint: the index as it was when the node stopped, in a file beside the pool.  It only saves the next start the
// replay of the log: a checkpoint that is missing, damaged or from another state of the log is ignored, and the
// server's log says so.  Thread: main loop only.
//
//   header      which log it belongs to, and which state of it
//   expiring    how many keys have an expiry
//   usage       for every segment: SegmentUsage
//   index       as Indexes::Save writes it
//   checksum    of all of the above
#pragma once

#include <cstdint>
#include <string>

#include "faha/status.h"
#include "faha/types.h"
#include "log/log.h"
#include "store/engine.h"

namespace faha {

// Writes `engine` to a new file and renames it to `path`.  The engine must have applied all of the log.
// Errors: IoError, NoSpace - no checkpoint was written.
Status WriteCheckpoint(const std::string& path, const Log& log, const Engine& engine);

// Ok: `engine` is as it was when the node stopped, and has applied all that the checkpoint covers.  Errors: Unavailable
// - there is no checkpoint; Corrupt - the checkpoint is not used, and the message says why.  `engine` is empty then.
Status ReadCheckpoint(const std::string& path, const Log& log, Engine& engine);

}  // namespace faha
