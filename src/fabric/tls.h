// TLS 1.3 for links: the keys of this node, and a channel for each link.  Thread: main loop only.
// Both ends show a certificate and check the other's against the CA; the names in a certificate are not checked,
// because any node of the CA may be a peer.
// Invariants: (1) a channel opened with older keys goes on with them.
//             (2) nothing outlives a connection: there are no sessions to resume and no tickets.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "fabric/channel.h"
#include "faha/options.h"
#include "faha/status.h"

namespace faha {

class Tls {
 public:
  // Errors: BadConfig - a file is missing or cannot be used.
  static Result<std::shared_ptr<Tls>> Load(const TlsFiles& files, LogSink log);

  // Opens a channel with the keys of the files as they are now.  If the files have changed and cannot be used, `log` is
  // told, and the keys that were read before are used.
  std::unique_ptr<Channel> Open(bool accepting);

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  using Context = std::unique_ptr<SSL_CTX, Free>;
  // What tells one version of the files from another.
  using Stamp = std::vector<std::int64_t>;

  Tls(TlsFiles files, LogSink log) : files_(std::move(files)), log_(std::move(log)) {}
  static Result<Context> Read(const TlsFiles& files);
  static Stamp StampOf(const TlsFiles& files);

  const TlsFiles files_;
  const LogSink log_;
  Stamp stamp_;  // of the files that were read last, whether they could be used or not
  Context context_;
};

}  // namespace faha
