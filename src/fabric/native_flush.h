// RDMA's own FLUSH: the device makes persistent what was written through it, without the processor of its machine.
// Thread: main loop only.
// The code that is built only where rdma-core knows FLUSH (45 and later, FAHA_NATIVE_FLUSH) is all in native_flush.cc;
// elsewhere no device flushes.
#pragma once

#include <infiniband/verbs.h>
#include <rdma/rdma_cma.h>

#include <cstddef>
#include <cstdint>

namespace faha::native_flush {

// Can the device flush, and be flushed to, persistently?
bool Supported(ibv_context* context);

// The further access flags with which memory is registered so that peers may flush it persistently.  Such a
// registration is refused if the memory is not persistent.
int Access();

// Does what rdma_create_qp does, for a queue pair that can also post FLUSH.  Everything else is posted with
// ibv_post_send as always: the two ways may be mixed.
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
