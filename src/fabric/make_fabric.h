// Chooses the fabric.  Thread: main loop only.
#pragma once

#include <memory>
#include <string>

#include "faha/fabric.h"
#include "faha/options.h"
#include "faha/status.h"

namespace faha {

// Of `options`: the fabric - tcp; rdma: nothing else will do; auto: RDMA if the machine has a device, else TCP, and
// `remark` says why, as it does where TLS rules RDMA out - and what every peer must prove.
// Errors: BadConfig - a setting cannot be used; Unavailable - rdma, and no device.
Result<std::unique_ptr<Fabric>> MakeFabric(const Options& options, std::string& remark);

}  // namespace faha
