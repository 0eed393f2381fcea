// RDMA's own FLUSH: a device makes persistent what was written by way of it, without the processor there.  Thread: main
// loop only.  All that is built only where rdma-core knows it (45 and later, FAHA_NATIVE_FLUSH) is in native_flush.cc;
// elsewhere no device flushes.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <cstddef>
#include <cstdint>

namespace faha::native_flush {

// Can the device flush, and be flushed to, persistently?
bool Supported(ibv_context* context);

// What memory is registered with besides, so that peers may flush it persistently; refused if it is not persistent.
int Access();

// As rdma_create_qp, with FLUSH.  Whatever else is posted goes by ibv_post_send as always: the two may be mixed.
int CreateQueuePair(rdma_cm_id* id, ibv_pd* pd, ibv_qp_init_attr& attributes);

// A WRITE_WITH_IMM of one piece and, behind it, a signalled FLUSH of what it writes.  On one connection a FLUSH is done
// after the writes posted before it, so it covers them.
struct Body {
  const void* at = nullptr;
  std::uint32_t bytes = 0, lkey = 0;
  std::uint64_t remote = 0;
  std::uint32_t rkey = 0, imm = 0;
};
// False: the connection is broken.
bool Post(ibv_qp* qp, const Body& body, std::uint64_t write_id, std::uint64_t flush_id);

// Is this completion, which is no failure, that of a FLUSH?
bool Completes(const ibv_wc& completion);

}  // namespace faha::native_flush
