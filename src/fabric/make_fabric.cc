#include "fabric/make_fabric.h"

#include <fmt/format.h>

#include <utility>

#include "fabric/rdma_fabric.h"
#include "fabric/tcp_fabric.h"

namespace faha {

Result<std::unique_ptr<Fabric>> MakeFabric(const std::string& name, const std::string& secret, std::string& remark) {
  TcpFabricLimits limits;
  limits.secret = secret;
  if (name != "tcp" && name != "rdma" && name != "auto") {
    return Status{Code::kBadConfig, fmt::format("faha.fabric '{}' is unknown: use auto, tcp or rdma", name)};
  }
  if (name != "tcp") {
    auto rdma = RdmaFabric::Create(name == "rdma", {}, limits);
    if (rdma.ok()) return std::unique_ptr<Fabric>(std::move(rdma.value()));
    if (name == "rdma") return rdma.status();
    remark = rdma.status().message();
  }
  return std::unique_ptr<Fabric>(std::make_unique<TcpFabric>(limits));
}

}  // namespace faha
