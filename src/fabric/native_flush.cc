#include "fabric/native_flush.h"

#include <arpa/inet.h>

#ifdef FAHA_NATIVE_FLUSH
#include <rdma/ib_user_verbs.h>
#endif

#include <cerrno>

namespace faha::native_flush {

#ifdef FAHA_NATIVE_FLUSH

bool Supported(ibv_context* context) {
  ibv_device_attr_ex attributes{};
  return ibv_query_device_ex(context, nullptr, &attributes) == 0 &&
         (attributes.device_cap_flags_ex & IB_UVERBS_DEVICE_FLUSH_PERSISTENT) != 0;
}

int Access() { return IBV_ACCESS_FLUSH_PERSISTENT; }

int CreateQueuePair(rdma_cm_id* id, ibv_pd* pd, ibv_qp_init_attr& attributes) {
  ibv_qp_init_attr_ex extended{};
  extended.send_cq = attributes.send_cq;
  extended.recv_cq = attributes.recv_cq;
  extended.cap = attributes.cap;
  extended.qp_type = attributes.qp_type;
  extended.comp_mask = IBV_QP_INIT_ATTR_PD | IBV_QP_INIT_ATTR_SEND_OPS_FLAGS;
  extended.pd = pd;
  extended.send_ops_flags = IBV_QP_EX_WITH_RDMA_WRITE_WITH_IMM | IBV_QP_EX_WITH_FLUSH;
  const int result = rdma_create_qp_ex(id, &extended);
  attributes.cap = extended.cap;
  return result;
}

bool Post(ibv_qp* qp, const Body& body, std::uint64_t write_id, std::uint64_t flush_id) {
  ibv_qp_ex* extended = ibv_qp_to_qp_ex(qp);
  ibv_wr_start(extended);
  extended->wr_id = write_id;
  extended->wr_flags = 0;
  ibv_wr_rdma_write_imm(extended, body.rkey, body.remote, htonl(body.imm));
  ibv_wr_set_sge(extended, body.lkey, reinterpret_cast<std::uint64_t>(body.at), body.bytes);
  extended->wr_id = flush_id;
  extended->wr_flags = IBV_SEND_SIGNALED;
  ibv_wr_flush(extended, body.rkey, body.remote, body.bytes, IBV_FLUSH_PERSISTENT, IBV_FLUSH_RANGE);
  return ibv_wr_complete(extended) == 0;
}

bool Completes(const ibv_wc& completion) { return completion.opcode == IBV_WC_FLUSH; }

#else

bool Supported(ibv_context*) { return false; }
int Access() { return 0; }
int CreateQueuePair(rdma_cm_id*, ibv_pd*, ibv_qp_init_attr&) {
  errno = EOPNOTSUPP;
  return -1;
}
bool Post(ibv_qp*, const Body&, std::uint64_t, std::uint64_t) { return false; }
bool Completes(const ibv_wc&) { return false; }

#endif

}  // namespace faha::native_flush
