// What OpenSSL says of a failure.  Thread: main loop only.
#pragma once

#include <string>

namespace faha {

// The reason of the oldest error that OpenSSL has queued; forgets them all.
std::string TlsError();

}  // namespace faha
