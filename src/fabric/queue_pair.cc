// A thin layer over verbs.  Thread: main loop only.
#include "fabric/queue_pair.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/check.h"
#include "fabric/native_flush.h"
#include "fabric/socket.h"

namespace faha {

namespace {

constexpr std::size_t kMaxChain = 4;

}  // namespace

Result<MemoryRegion> MemoryRegion::Register(ibv_pd* pd, std::span<std::byte> memory, int access) {
  MemoryRegion region;
  region.mr_.reset(ibv_reg_mr(pd, memory.data(), memory.size(), access));
  if (region.mr_) return region;
  const int error = errno;
  const char* remedy = error == ENOMEM ? ": raise the limit of locked memory (LimitMEMLOCK=infinity, ulimit -l)"
                       : error == EFAULT || error == EOPNOTSUPP || error == EINVAL
                           ? ": the device cannot pin such pages (a file system on persistent memory, say)"
                           : "";
  return Status{Code::kUnavailable, fmt::format("cannot register {} bytes with the RDMA device: {}{}", memory.size(),
                                                ErrnoText(error), remedy)};
}

Result<std::unique_ptr<QueuePair>> QueuePair::Create(rdma_cm_id* id, ibv_pd* pd, ibv_comp_channel* channel,
                                                     bool flush) {
  std::unique_ptr<QueuePair> pair(new QueuePair);
  pair->cq_ = ibv_create_cq(id->verbs, kSendDepth + kReceiveDepth, pair.get(), channel, 0);
  if (pair->cq_ == nullptr) {
    return Status{Code::kUnavailable,
                  fmt::format("the RDMA device has no completion queue left: {}", ErrnoText(errno))};
  }
  ibv_qp_init_attr attributes{};
  attributes.send_cq = attributes.recv_cq = pair->cq_;
  attributes.cap.max_send_wr = kSendDepth;
  attributes.cap.max_recv_wr = kReceiveDepth;
  attributes.cap.max_send_sge = 2;
  attributes.cap.max_recv_sge = 1;
  attributes.cap.max_inline_data = kInlineBytes;
  attributes.qp_type = IBV_QPT_RC;
  pair->flushes_ = flush && native_flush::CreateQueuePair(id, pd, attributes) == 0;
  if (!pair->flushes_ && rdma_create_qp(id, pd, &attributes) != 0) {
    return Status{Code::kUnavailable, fmt::format("the RDMA device has no queue pair left: {}", ErrnoText(errno))};
  }
  pair->id_ = id;
  pair->inline_bytes_ = std::min(attributes.cap.max_inline_data, kInlineBytes);
  return pair;
}

void QueuePair::Shut() {
  if (id_ != nullptr) {
    // The queue pair is reset directly, before the connection manager is asked: from here on the device refuses the
    // peer's requests.
    ibv_qp_attr attributes{};
    attributes.qp_state = IBV_QPS_RESET;
    (void)ibv_modify_qp(id_->qp, &attributes, IBV_QP_STATE);
    rdma_destroy_qp(id_);
    id_ = nullptr;
  }
  if (cq_ != nullptr) (void)ibv_destroy_cq(cq_);
  cq_ = nullptr;
}

bool QueuePair::Post(std::span<const Work> works) {
  FAHA_CHECK(works.size() <= kMaxChain && works.size() <= room(), "the send queue has room");
  if (id_ == nullptr) return false;
  std::array<ibv_send_wr, kMaxChain> requests{};
  std::array<std::array<ibv_sge, 2>, kMaxChain> gathers{};
  for (std::size_t i = 0; i < works.size(); ++i) {
    const Work& work = works[i];
    ibv_send_wr& request = requests[i];
    std::uint32_t bytes = 0;
    for (const Piece& piece : work.pieces) {
      if (piece.bytes == 0) continue;
      gathers[i][request.num_sge++] = {reinterpret_cast<std::uint64_t>(piece.at), piece.bytes, piece.lkey};
      bytes += piece.bytes;
    }
    request.wr_id = ++posted_;
    request.next = i + 1 < works.size() ? &requests[i + 1] : nullptr;
    request.sg_list = gathers[i].data();
    request.opcode = work.opcode;
    if (work.signal || posted_ - last_signal_ >= kSignalEvery) {
      request.send_flags |= IBV_SEND_SIGNALED;
      last_signal_ = posted_;
    }
    if (bytes <= inline_bytes_ && work.opcode != IBV_WR_RDMA_READ) request.send_flags |= IBV_SEND_INLINE;
    request.imm_data = htonl(work.imm);
    request.wr.rdma.remote_addr = work.remote;
    request.wr.rdma.rkey = work.rkey;
  }
  ibv_send_wr* bad = nullptr;
  return works.empty() || ibv_post_send(id_->qp, requests.data(), &bad) == 0;
}

bool QueuePair::PostFlushed(const Work& work) {
  FAHA_CHECK(flushes_ && room() >= 2 && work.pieces[1].bytes == 0, "the send queue has room and can flush");
  if (id_ == nullptr) return false;
  const Piece& piece = work.pieces[0];
  const std::uint64_t write_id = ++posted_;
  last_signal_ = ++posted_;
  return native_flush::Post(id_->qp, {piece.at, piece.bytes, piece.lkey, work.remote, work.rkey, work.imm}, write_id,
                            last_signal_);
}

bool QueuePair::PostReceives(std::uint32_t count) {
  if (id_ == nullptr) return false;
  std::array<ibv_recv_wr, 32> requests{};
  while (count > 0) {
    const std::uint32_t now = std::min<std::uint32_t>(count, requests.size());
    for (std::uint32_t i = 0; i < now; ++i) requests[i].next = i + 1 < now ? &requests[i + 1] : nullptr;
    ibv_recv_wr* bad = nullptr;
    if (ibv_post_recv(id_->qp, requests.data(), &bad) != 0) return false;
    count -= now;
  }
  return true;
}

bool QueuePair::PostReceive(const Piece& into) {
  if (id_ == nullptr) return false;
  ibv_sge place{reinterpret_cast<std::uint64_t>(into.at), into.bytes, into.lkey};
  ibv_recv_wr request{};
  request.sg_list = &place;
  request.num_sge = 1;
  ibv_recv_wr* bad = nullptr;
  return ibv_post_recv(id_->qp, &request, &bad) == 0;
}

Status QueuePair::RefuseAccess() {
  ibv_qp_attr attributes{};
  attributes.qp_state = IBV_QPS_RTS;
  const int error = id_ == nullptr ? ENOTCONN : ibv_modify_qp(id_->qp, &attributes, IBV_QP_STATE | IBV_QP_ACCESS_FLAGS);
  if (error == 0) return Status::Ok();
  return {Code::kUnavailable,
          fmt::format("the RDMA device does not take the rights of a connection back: {}", ErrnoText(error))};
}

std::span<const QueuePair::Event> QueuePair::Poll() {
  if (cq_ == nullptr) return {};
  std::array<ibv_wc, 32> completions;
  const int count = ibv_poll_cq(cq_, completions.size(), completions.data());
  for (int i = 0; i < count; ++i) {
    const ibv_wc& completion = completions[i];
    Event& event = events_[i];
    if (completion.status != IBV_WC_SUCCESS) {
      event = {.kind = Event::Kind::kFailed, .status = completion.status};
    } else if ((completion.opcode & IBV_WC_RECV) != 0) {
      const bool immediate = (completion.wc_flags & IBV_WC_WITH_IMM) != 0;
      event = {.kind = Event::Kind::kReceived,
               .imm = immediate ? ntohl(completion.imm_data) : kNoImmediate,
               .bytes = completion.byte_len,
               .landed = completion.opcode == IBV_WC_RECV};
    } else {
      left_ = std::max(left_, completion.wr_id);
      event = {.kind = native_flush::Completes(completion) ? Event::Kind::kFlushed : Event::Kind::kSent};
    }
  }
  return std::span(events_).first(static_cast<std::size_t>(std::max(count, 0)));
}

void QueuePair::Arm() {
  if (cq_ == nullptr || armed_) return;
  armed_ = ibv_req_notify_cq(cq_, 0) == 0;
}

void QueuePair::DrainChannel(ibv_comp_channel* channel) {
  ibv_cq* cq = nullptr;
  void* owner = nullptr;
  while (ibv_get_cq_event(channel, &cq, &owner) == 0) {
    ibv_ack_cq_events(cq, 1);
    static_cast<QueuePair*>(owner)->armed_ = false;
  }
}

}  // namespace faha
