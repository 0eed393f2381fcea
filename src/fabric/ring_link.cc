// Rings, mirrors and credit.  Thread: main loop only.
#include "fabric/ring_link.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "fabric/frame.h"

namespace faha {

namespace {

constexpr std::uint32_t kKindShift = 30;
constexpr std::uint32_t kBytesMask = (1U << kKindShift) - 1;
constexpr std::uint32_t kChunkAlign = 64;
// Receives that are never given to chunks: credit needs one too, and at most a few of those are under way.
constexpr std::uint32_t kCreditReceives = 32;
// A placed body is one write; devices bound its size, SoftRoCE to 8 MiB.
constexpr std::size_t kMaxPlacedBytes = std::size_t{4} << 20;

std::uint32_t AlignChunk(std::uint32_t bytes) { return (bytes + kChunkAlign - 1) / kChunkAlign * kChunkAlign; }

// The part of `parts`, taken as one run of bytes, from `offset` on.
void CopyOut(std::span<const std::span<const std::byte>> parts, std::size_t offset, std::span<std::byte> to) {
  for (const auto& part : parts) {
    const std::size_t skipped = std::min(offset, part.size());
    const std::size_t size = std::min(part.size() - skipped, to.size());
    if (size != 0) std::memcpy(to.data(), part.data() + skipped, size);
    to = to.subspan(size);
    offset -= skipped;
  }
  FAHA_CHECK(to.empty(), "the parts hold what is to be copied");
}

Status Broken(ibv_wc_status status, const Endpoint& peer) {
  if (status == IBV_WC_RETRY_EXC_ERR || status == IBV_WC_RNR_RETRY_EXC_ERR) {
    return {Code::kUnavailable, fmt::format("the RDMA connection to {} is lost: it does not answer", peer.ToString())};
  }
  if (status == IBV_WC_WR_FLUSH_ERR) {
    return {Code::kUnavailable, fmt::format("the RDMA connection to {} was closed", peer.ToString())};
  }
  return {Code::kUnavailable,
          fmt::format("the RDMA connection to {} is lost: {}", peer.ToString(), ibv_wc_status_str(status))};
}

}  // namespace

Pages::Pages(std::size_t bytes) {
  void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (at != MAP_FAILED) bytes_ = {static_cast<std::byte*>(at), bytes};
}

Pages::~Pages() {
  if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

Pages& Pages::operator=(Pages&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  return *this;
}

std::uint64_t RingLink::Cursor::Take(std::uint32_t bytes, std::uint32_t ring_bytes) {
  const std::uint32_t whole = AlignChunk(bytes);
  std::uint64_t at = count % ring_bytes;
  if (at + whole > ring_bytes) {
    count += ring_bytes - at;
    at = 0;
  }
  count += whole;
  return at;
}

Result<std::unique_ptr<RingLink>> RingLink::Create(rdma_cm_id* id, ibv_pd* pd, ibv_comp_channel* channel,
                                                   std::uint32_t ring_bytes, const MemoryRegion* shared,
                                                   bool offer_shared, std::size_t queued_limit) {
  FAHA_CHECK(ring_bytes >= kMinRingBytes && ring_bytes <= kMaxRingBytes && ring_bytes % kChunkAlign == 0,
             "a ring has a legal size");
  std::unique_ptr<RingLink> link(new RingLink);
  link->inbound_ = Pages(kSlotBytes + ring_bytes);
  if (link->inbound_.bytes().empty()) return Status{Code::kUnavailable, "no memory for a ring"};
  auto region = MemoryRegion::Register(pd, link->inbound_.bytes(), IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
  if (!region.ok()) return region.status();
  link->inbound_region_ = std::move(region.value());
  link->ring_bytes_ = ring_bytes;
  link->shared_ = shared != nullptr && *shared ? shared : nullptr;
  link->offer_shared_ = offer_shared && link->shared_ != nullptr;
  link->queued_limit_ = queued_limit;
  auto queues = QueuePair::Create(id, pd, channel);
  if (!queues.ok()) return queues.status();
  link->queues_ = std::move(queues.value());
  // Before the connection stands, so that the peer's first message finds them.
  if (!link->queues_->PostReceives(QueuePair::kReceiveDepth)) {
    return Status{Code::kUnavailable, "the RDMA device takes no receives"};
  }
  return link;
}

RingOffer RingLink::Offer() const {
  RingOffer offer;
  offer.ring = reinterpret_cast<std::uint64_t>(inbound_.bytes().data());
  offer.ring_rkey = inbound_region_.rkey();
  offer.ring_bytes = ring_bytes_;
  offer.receives = QueuePair::kReceiveDepth - kCreditReceives;
  if (offer_shared_) {
    offer.shared = reinterpret_cast<std::uint64_t>(shared_->memory().data());
    offer.shared_bytes = shared_->memory().size();
    offer.shared_rkey = shared_->rkey();
  }
  return offer;
}

Status RingLink::Attach(const RingOffer& peer, ibv_pd* pd) {
  if (peer.magic != kOfferMagic) return {Code::kProtocol, "the peer does not speak FaHA's protocol: check the address"};
  if (peer.version != kRingVersion) {
    return {Code::kPeerVersion, fmt::format("the peer speaks version {} of the RDMA protocol, this node {}: run the "
                                            "same release on both",
                                            peer.version, kRingVersion)};
  }
  if (peer.ring_bytes < kMinRingBytes || peer.ring_bytes > kMaxRingBytes || peer.ring_bytes % kChunkAlign != 0 ||
      peer.receives == 0) {
    return {Code::kProtocol, "the peer offers a ring that cannot be: run the same release on both"};
  }
  outbound_ = Pages(peer.ring_bytes);
  if (outbound_.bytes().empty()) return {Code::kUnavailable, "no memory for a ring"};
  auto region = MemoryRegion::Register(pd, outbound_.bytes(), IBV_ACCESS_LOCAL_WRITE);
  if (!region.ok()) return region.status();
  outbound_region_ = std::move(region.value());
  peer_ = peer;
  return Status::Ok();
}

// --- Sending.

// A position, a receive and the queue's slots are all there, and one more slot for credit.
bool RingLink::Fits(std::uint32_t bytes, std::size_t works) const {
  const auto* slot = reinterpret_cast<const volatile Slot*>(inbound_.bytes().data());
  Cursor next = write_;
  (void)next.Take(bytes, peer_->ring_bytes);
  return next.count - slot->ring_bytes <= peer_->ring_bytes && sent_chunks_ - slot->receives < peer_->receives &&
         queues_->room() > works;
}

bool RingLink::PostChunk(Kind kind, std::span<const std::span<const std::byte>> parts, std::span<const std::byte> body,
                         std::uint64_t place) {
  std::uint32_t bytes = 0;
  for (const auto& part : parts) bytes += static_cast<std::uint32_t>(part.size());
  const std::uint64_t at = write_.Take(bytes, peer_->ring_bytes);
  const auto mirror = outbound_.bytes().subspan(at, bytes);
  CopyOut(parts, 0, mirror);
  ++sent_chunks_;
  std::array<QueuePair::Work, 2> works;
  std::size_t count = 0;
  if (kind == Kind::kPlaced) {
    works[count++] = {.opcode = IBV_WR_RDMA_WRITE,
                      .pieces = {{{body.data(), static_cast<std::uint32_t>(body.size()), shared_->lkey()}}},
                      .remote = peer_->shared + place,
                      .rkey = peer_->shared_rkey};
  }
  works[count++] = {.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
                    .pieces = {{{mirror.data(), bytes, outbound_region_.lkey()}}},
                    .remote = peer_->ring + kSlotBytes + at,
                    .rkey = peer_->ring_rkey,
                    .imm = static_cast<std::uint32_t>(kind) << kKindShift | bytes};
  return queues_->Post(std::span(works).first(count));
}

Status RingLink::Send(std::span<const std::byte> head, std::span<const std::byte> body, std::uint64_t place) {
  const Status broken{Code::kUnavailable, "the RDMA connection is broken"};
  const FrameHeader header = MakeFrameHeader(head, static_cast<std::uint32_t>(body.size()));
  const std::uint32_t largest = peer_->ring_bytes / 4;
  const bool placed = shared_ != nullptr && !body.empty() && body.size() <= kMaxPlacedBytes && shared_->Holds(body) &&
                      place <= peer_->shared_bytes && body.size() <= peer_->shared_bytes - place &&
                      sizeof header + head.size() + sizeof place <= largest;
  const std::array<std::span<const std::byte>, 3> parts{std::as_bytes(std::span(&header, 1)), head,
                                                        placed ? std::as_bytes(std::span(&place, 1)) : body};
  const std::size_t total = parts[0].size() + parts[1].size() + parts[2].size();
  const Kind kind = placed ? Kind::kPlaced : Kind::kChunk;
  if (queue_.empty() && total <= largest && Fits(static_cast<std::uint32_t>(total), placed ? 2 : 1)) {
    return PostChunk(kind, parts, body, place) ? Status::Ok() : broken;
  }
  if (queued_bytes_ > queued_limit_) {
    return {Code::kUnavailable, fmt::format("the peer does not keep up: {} bytes wait for it", queued_bytes_)};
  }
  for (std::size_t offset = 0; offset < total; offset += largest) {
    Queued& chunk = queue_.emplace_back();
    chunk.kind = kind;
    chunk.place = place;
    chunk.bytes.resize(std::min<std::size_t>(largest, total - offset));
    CopyOut(parts, offset, chunk.bytes);
    if (placed) chunk.body = body;
    queued_bytes_ += chunk.bytes.size();
  }
  return SendQueued();
}

Status RingLink::SendQueued() {
  while (!queue_.empty()) {
    const Queued& chunk = queue_.front();
    const auto bytes = static_cast<std::uint32_t>(chunk.bytes.size());
    if (!Fits(bytes, chunk.kind == Kind::kPlaced ? 2 : 1)) break;
    const std::array<std::span<const std::byte>, 1> parts{std::span<const std::byte>(chunk.bytes)};
    if (!PostChunk(chunk.kind, parts, chunk.body, chunk.place)) {
      return {Code::kUnavailable, "the RDMA connection is broken"};
    }
    queued_bytes_ -= chunk.bytes.size();
    queue_.pop_front();
  }
  return Status::Ok();
}

// --- Receiving.

// A quarter of the ring or of the receives at a time: credit is one message for many, and the sender never runs dry.
bool RingLink::ReturnCredit() {
  const bool due = read_.count - returned_.ring_bytes >= ring_bytes_ / 4 ||
                   taken_chunks_ - returned_.receives >= (QueuePair::kReceiveDepth - kCreditReceives) / 4;
  if (!due || queues_->room() == 0) return true;
  returned_ = {read_.count, taken_chunks_};
  static_assert(sizeof(Slot) <= QueuePair::kInlineBytes);
  const QueuePair::Work credit{.opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
                               .pieces = {{{&returned_, sizeof returned_, inbound_region_.lkey()}}},
                               .remote = peer_->ring,
                               .rkey = peer_->ring_rkey,
                               .imm = static_cast<std::uint32_t>(Kind::kCredit) << kKindShift};
  return queues_->Post(std::span(&credit, 1));
}

Result<bool> RingLink::Receive(std::uint32_t max_body, const OnFrame& on_frame, const Endpoint& peer) {
  const auto events = queues_->Poll();
  for (const QueuePair::Event& event : events) {
    if (event.kind == QueuePair::Event::Kind::kFailed) return Broken(event.status, peer);
    if (event.kind != QueuePair::Event::Kind::kReceived) continue;
    ++unposted_receives_;
    if (Status status = Take(event.imm, max_body, on_frame, peer); !status.ok()) return status;
    if (!queues_->open()) return false;
  }
  const auto reposted = static_cast<std::uint32_t>(std::exchange(unposted_receives_, 0));
  if (reposted != 0 && !queues_->PostReceives(reposted)) return Broken(IBV_WC_WR_FLUSH_ERR, peer);
  if (!attached()) return !events.empty();
  if (!ReturnCredit()) return Broken(IBV_WC_WR_FLUSH_ERR, peer);
  if (Status status = SendQueued(); !status.ok()) return status;
  return !events.empty();
}

Status RingLink::Take(std::uint32_t imm, std::uint32_t max_body, const OnFrame& on_frame, const Endpoint& peer) {
  const auto kind = static_cast<Kind>(imm >> kKindShift);
  const std::uint32_t bytes = imm & kBytesMask;
  if (kind == Kind::kCredit) return Status::Ok();  // the slot tells
  const auto bad = [&](std::string_view what) {
    return Status{Code::kProtocol, fmt::format("{} sent {}: run the same release on both", peer.ToString(), what)};
  };
  if (bytes == 0 || bytes > ring_bytes_ / 4 || (kind != Kind::kChunk && kind != Kind::kPlaced)) {
    return bad("a message that is none");
  }
  const std::span<const std::byte> chunk(InboundRing() + read_.Take(bytes, ring_bytes_), bytes);
  ++taken_chunks_;
  if (assembly_need_ == 0) {
    std::span<const std::byte> head;
    FrameHeader header;
    const FrameState fault = ParseFrameHead(chunk, header, head);
    if (fault == FrameState::kIncomplete) return bad("a frame that is too short");
    if (fault != FrameState::kFrame) return DescribeFault(fault, peer, header.version, max_body);
    if (header.body_bytes > max_body) return DescribeFault(FrameState::kBodyTooLong, peer, header.version, max_body);
    const auto rest = chunk.subspan(sizeof header + head.size());
    if (kind == Kind::kPlaced) {
      std::uint64_t place = 0;
      if (rest.size() != sizeof place || !offer_shared_) return bad("a body to no place");
      std::memcpy(&place, rest.data(), sizeof place);
      const auto memory = shared_->memory();
      if (place > memory.size() || header.body_bytes > memory.size() - place) return bad("a body to no place");
      on_frame(head, memory.subspan(place, header.body_bytes));
      return Status::Ok();
    }
    if (rest.size() > header.body_bytes) return bad("a frame that is too long");
    if (rest.size() == header.body_bytes) {
      on_frame(head, rest);
      return Status::Ok();
    }
    assembly_need_ = sizeof header + head.size() + header.body_bytes;
    assembly_.reserve(assembly_need_);
  } else if (kind != Kind::kChunk || bytes > assembly_need_ - assembly_.size()) {
    return bad("a part of a frame that does not belong to it");
  }
  assembly_.insert(assembly_.end(), chunk.begin(), chunk.end());
  if (assembly_.size() < assembly_need_) return Status::Ok();
  // Its head was checked when it began.
  const std::vector<std::byte> whole = std::exchange(assembly_, {});
  assembly_need_ = 0;
  std::span<const std::byte> head;
  FrameHeader header;
  (void)ParseFrameHead(whole, header, head);
  on_frame(head, std::span(whole).subspan(sizeof header + head.size()));
  return Status::Ok();
}

}  // namespace faha
