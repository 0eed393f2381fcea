// Chooses the fabric.  Thread: main loop only.
#pragma once

#include <memory>
#include <string>

#include "faha/fabric.h"
#include "faha/status.h"

namespace faha {

// `name`: tcp; rdma - nothing else will do; auto - RDMA if the machine has a device, else TCP, and `remark` says why.
// Errors: BadConfig - another name; Unavailable - rdma, and no device.
// `secret`: what every peer must know; empty: nothing.
Result<std::unique_ptr<Fabric>> MakeFabric(const std::string& name, const std::string& secret, std::string& remark);

}  // namespace faha
