// Chooses the fabric.  Thread: main loop only.
#pragma once

#include <memory>
#include <string>

#include "faha/fabric.h"
#include "faha/options.h"
#include "faha/status.h"

namespace faha {

// Makes the fabric that `options` ask for, with what every peer must prove.  tcp: TCP; rdma: RDMA or an error; auto:
// RDMA if the machine has a device, else TCP, and `remark` says why it is TCP, also where TLS rules RDMA out.
// Errors: BadConfig - a setting cannot be used; Unavailable - the fabric must be rdma and there is no device.
Result<std::unique_ptr<Fabric>> MakeFabric(const Options& options, std::string& remark);

}  // namespace faha
