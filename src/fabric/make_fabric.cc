#include "fabric/make_fabric.h"

#include <fmt/format.h>

#include <utility>

#include "fabric/rdma_fabric.h"
#include "fabric/secret_file.h"
#include "fabric/tcp_fabric.h"
#include "fabric/tls.h"

namespace faha {
namespace {

Result<std::string> SecretOf(const Options& options) {
  if (options.secret_file.empty()) return options.secret;
  if (options.secret.empty()) return ReadSecretFile(options.secret_file);
  return Status{Code::kBadConfig, "faha.secret and faha.secret-file are both set: remove one of them"};
}

}  // namespace

Result<std::unique_ptr<Fabric>> MakeFabric(const Options& options, std::string& remark) {
  const std::string& name = options.fabric;
  auto secret = SecretOf(options);
  if (!secret.ok()) return secret.status();
  TcpFabricLimits limits;
  limits.secret = std::move(*secret);
  if (name != "tcp" && name != "rdma" && name != "auto") {
    return Status{Code::kBadConfig, fmt::format("faha.fabric '{}' is unknown: use auto, tcp or rdma", name)};
  }
  if (options.tls == "yes") {
    if (name == "rdma") {
      return Status{Code::kBadConfig,
                    "faha.fabric rdma does not work with TLS, which covers TCP alone: set faha.fabric to auto, or "
                    "faha.tls to no"};
    }
    auto tls = Tls::Load(options.tls_files, options.log);
    if (!tls.ok()) return tls.status();
    limits.tls = std::move(*tls);
    options.log(LogLevel::kNotice, fmt::format("replication uses TLS 1.3, with {}", options.tls_files.certificate));
    if (name == "auto") remark = "TLS covers TCP alone: RDMA needs faha.tls no";
  } else if (name != "tcp") {
    auto rdma = RdmaFabric::Create(name == "rdma", {}, limits);
    if (rdma.ok()) return std::unique_ptr<Fabric>(std::move(rdma.value()));
    if (name == "rdma") return rdma.status();
    remark = rdma.status().message();
  }
  return std::unique_ptr<Fabric>(std::make_unique<TcpFabric>(limits));
}

}  // namespace faha
