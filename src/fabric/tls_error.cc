#include "fabric/tls_error.h"

#include <openssl/err.h>

#include "fabric/socket.h"

namespace faha {

std::string TlsError() {
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  if (error == 0) return "no reason given";
  // OpenSSL has no text for an error of the system.
  if (ERR_SYSTEM_ERROR(error)) return ErrnoText(static_cast<int>(ERR_GET_REASON(error)));
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "error " + std::to_string(error);
}

}  // namespace faha
