// The stable names of the codes.  Thread: any.
#include "faha/status.h"

#include "base/check.h"

namespace faha {

std::string_view CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "OK";
    case Code::kBadConfig: return "BADCONFIG";
    case Code::kBadPool: return "BADPOOL";
    case Code::kClusterId: return "CLUSTERID";
    case Code::kCorrupt: return "CORRUPT";
    case Code::kDenied: return "DENIED";
    case Code::kFenced: return "FENCED";
    case Code::kIoError: return "IOERROR";
    case Code::kNoPromise: return "NOPROMISE";
    case Code::kNoQuorum: return "NOQUORUM";
    case Code::kNoSpace: return "NOSPACE";
    case Code::kNotPrimary: return "NOTPRIMARY";
    case Code::kPeerVersion: return "PEERVERSION";
    case Code::kPoolInUse: return "POOLINUSE";
    case Code::kPoolSize: return "POOLSIZE";
    case Code::kPoolVersion: return "POOLVERSION";
    case Code::kProtocol: return "PROTOCOL";
    case Code::kReadOnly: return "READONLY";
    case Code::kTooLarge: return "TOOLARGE";
    case Code::kUnavailable: return "UNAVAILABLE";
    case Code::kWrongType: return "WRONGTYPE";
    case Code::kForked: return "FORKED";
  }
  FAHA_CHECK(false, "a code has a name");
  __builtin_unreachable();  // not every instrumented build sees that the check ends the process
}

std::string Status::ToString() const {
  std::string text(CodeName(code()));
  if (!message().empty()) text.append(" ").append(message());
  return text;
}

}  // namespace faha
