#include "fabric/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "fabric/tls_channel.h"
#include "fabric/tls_error.h"

namespace faha {
namespace {

constexpr long kMaxChainBytes = 64L << 10;  // of a peer's certificates

Status Unusable(std::string_view setting, const std::string& path, std::string_view why) {
  return {Code::kBadConfig, fmt::format("faha.tls: {} {} cannot be used: {}", setting, path, why)};
}

Status Missing(std::string_view setting) {
  return {Code::kBadConfig, fmt::format("faha.tls needs the server's {}: set it, or set faha.tls to no", setting)};
}

// Gives OpenSSL the passphrase of the key.  If none is configured, OpenSSL does not ask anybody for one.
int Passphrase(char* buffer, int size, int, void* context) {
  const auto& pass = *static_cast<const std::string*>(context);
  const std::size_t bytes = std::min(pass.size(), static_cast<std::size_t>(std::max(size, 0)));
  std::memcpy(buffer, pass.data(), bytes);
  return static_cast<int>(bytes);
}

Status UseKeys(SSL_CTX* context, const TlsFiles& files) {
  SSL_CTX_set_default_passwd_cb(context, Passphrase);
  SSL_CTX_set_default_passwd_cb_userdata(context, const_cast<std::string*>(&files.key_pass));
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    return Unusable("tls-cert-file", files.certificate, TlsError());
  }
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return Unusable("tls-key-file", files.key, TlsError());
  }
  return Status::Ok();
}

Status UseCa(SSL_CTX* context, const TlsFiles& files) {
  if (!files.ca_file.empty() && SSL_CTX_load_verify_file(context, files.ca_file.c_str()) != 1) {
    return Unusable("tls-ca-cert-file", files.ca_file, TlsError());
  }
  // OpenSSL looks into the folder only when a certificate comes, and would not say that the folder is missing.
  struct stat about {};
  if (!files.ca_dir.empty() && (::stat(files.ca_dir.c_str(), &about) != 0 || !S_ISDIR(about.st_mode) ||
                                SSL_CTX_load_verify_dir(context, files.ca_dir.c_str()) != 1)) {
    return Unusable("tls-ca-cert-dir", files.ca_dir, "it is no folder");
  }
  return Status::Ok();
}

}  // namespace

Result<Tls::Context> Tls::Read(const TlsFiles& files) {
  if (files.certificate.empty()) return Missing("tls-cert-file");
  if (files.key.empty()) return Missing("tls-key-file");
  if (files.ca_file.empty() && files.ca_dir.empty()) return Missing("tls-ca-cert-file or tls-ca-cert-dir");
  ERR_clear_error();
  Context context(SSL_CTX_new(TLS_method()));
  if (!context || SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION) != 1) {
    return Status{Code::kBadConfig, fmt::format("faha.tls: OpenSSL has no TLS 1.3: {}", TlsError())};
  }
  // A peer that resumes a session would not show its certificate again.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), 0);
  SSL_CTX_set_max_cert_list(context.get(), kMaxChainBytes);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  if (Status status = UseKeys(context.get(), files); !status.ok()) return status;
  if (Status status = UseCa(context.get(), files); !status.ok()) return status;
  ERR_clear_error();
  return context;
}

Tls::Stamp Tls::StampOf(const TlsFiles& files) {
  Stamp stamp;
  for (const std::string* path : {&files.certificate, &files.key, &files.ca_file, &files.ca_dir}) {
    struct stat about {};
    if (path->empty() || ::stat(path->c_str(), &about) != 0) about = {};
    for (const auto part :
         {static_cast<std::int64_t>(about.st_ino), static_cast<std::int64_t>(about.st_size),
          static_cast<std::int64_t>(about.st_mtim.tv_sec), static_cast<std::int64_t>(about.st_mtim.tv_nsec)}) {
      stamp.push_back(part);
    }
  }
  return stamp;
}

Result<std::shared_ptr<Tls>> Tls::Load(const TlsFiles& files, LogSink log) {
  std::shared_ptr<Tls> tls(new Tls(files, std::move(log)));
  // The stamp is taken before the files are read, so that a change in between is seen later.
  tls->stamp_ = StampOf(files);
  auto context = Read(files);
  if (!context.ok()) return context.status();
  tls->context_ = std::move(*context);
  return tls;
}

std::unique_ptr<Channel> Tls::Open(bool accepting) {
  if (Stamp now = StampOf(files_); now != stamp_) {
    stamp_ = std::move(now);
    auto context = Read(files_);
    if (context.ok()) {
      context_ = std::move(*context);
      log_(LogLevel::kNotice, "the TLS files have changed: new links use them");
    } else {
      log_(LogLevel::kWarning,
           fmt::format("{}; new links go on with what was read before", context.status().ToString()));
    }
  }
  return std::make_unique<TlsChannel>(context_.get(), accepting);
}

}  // namespace faha
