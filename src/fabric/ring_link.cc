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
constexpr std::uint32_t kValueMask = (1U << kKindShift) - 1;
constexpr std::uint32_t kChunkAlign = 64;
// Receives that are never offered for chunks and bodies: a credit message needs one too, and at most a few of these
// messages are under way.
constexpr std::uint32_t kCreditReceives = 32;
// The most receives that may be used and not yet posted again; the receives for credit replace them meanwhile.
constexpr std::uint32_t kMaxUnposted = kCreditReceives / 2;
// A placed body is one write; devices bound its size, SoftRoCE to 8 MiB.
constexpr std::size_t kMaxPlacedBytes = std::size_t{4} << 20;

// The unit in which the immediate counts a place: as small as its 30 bits allow.
std::uint64_t PlaceUnit(std::uint64_t shared_bytes) {
  std::uint64_t unit = 64;
  while (shared_bytes / unit > kValueMask) unit *= 2;
  return unit;
}

std::uint32_t AlignChunk(std::uint32_t bytes) { return (bytes + kChunkAlign - 1) / kChunkAlign * kChunkAlign; }

// Takes `parts` as one run of bytes, and fills `to` with its bytes from `offset` on.
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

Status Bad(std::string_view what, std::string_view who) {
  return {Code::kProtocol, fmt::format("{} sent {}: run the same release on both", who, what)};
}

Status Broken(ibv_wc_status status, std::string_view who) {
  if (status == IBV_WC_RETRY_EXC_ERR || status == IBV_WC_RNR_RETRY_EXC_ERR) {
    return {Code::kUnavailable, fmt::format("the RDMA connection to {} is lost: it does not answer", who)};
  }
  if (status == IBV_WC_WR_FLUSH_ERR) {
    return {Code::kUnavailable, fmt::format("the RDMA connection to {} was closed", who)};
  }
  return {Code::kUnavailable, fmt::format("the RDMA connection to {} is lost: {}", who, ibv_wc_status_str(status))};
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
                                                   const Terms& terms) {
  FAHA_CHECK(terms.ring_bytes >= kMinRingBytes && terms.ring_bytes <= kMaxRingBytes &&
                 terms.ring_bytes % kChunkAlign == 0 && kUpBytes <= terms.ring_bytes / 4,
             "a ring has a legal size");
  std::unique_ptr<RingLink> link(new RingLink);
  link->pd_ = pd;
  link->terms_ = terms;
  if (terms.into != nullptr && !terms.into->region) link->terms_.into = nullptr;
  if (terms.from != nullptr && !terms.from->region) link->terms_.from = nullptr;
  link->inbound_ =
      Pages(terms.dialed ? kSlotBytes + terms.ring_bytes : std::size_t{QueuePair::kReceiveDepth} * kUpBytes);
  if (link->inbound_.bytes().empty()) return Status{Code::kUnavailable, "no memory for a ring"};
  auto region = MemoryRegion::Register(pd, link->inbound_.bytes(),
                                       IBV_ACCESS_LOCAL_WRITE | (terms.dialed ? IBV_ACCESS_REMOTE_WRITE : 0));
  if (!region.ok()) return region.status();
  link->inbound_region_ = std::move(region.value());
  auto queues = QueuePair::Create(id, pd, channel, terms.flush);
  if (!queues.ok()) return queues.status();
  link->queues_ = std::move(queues.value());
  // Receives are posted before the connection is established, so that the peer's first message finds them.
  if (!link->PostReceives(QueuePair::kReceiveDepth)) {
    return Status{Code::kUnavailable, "the RDMA device takes no receives"};
  }
  return link;
}

// A receive for a write needs no memory.  Messages that are sent land in receives in the order in which these are
// posted.
bool RingLink::PostReceives(std::uint32_t count) {
  if (terms_.dialed) return queues_->PostReceives(count);
  for (; count > 0; --count, ++posted_receives_) {
    const auto place = inbound_.bytes().subspan(posted_receives_ % QueuePair::kReceiveDepth * kUpBytes, kUpBytes);
    if (!queues_->PostReceive({place.data(), kUpBytes, inbound_region_.lkey()})) return false;
  }
  return true;
}

RingOffer RingLink::Offer() const {
  RingOffer offer;
  offer.ring_bytes = terms_.ring_bytes;
  offer.receives = QueuePair::kReceiveDepth - kCreditReceives;
  if (!terms_.dialed) return offer;
  offer.ring = reinterpret_cast<std::uint64_t>(inbound_.bytes().data());
  offer.ring_rkey = inbound_region_.rkey();
  if (terms_.into == nullptr) return offer;
  const auto memory = terms_.into->region.memory();
  offer.shared = reinterpret_cast<std::uint64_t>(memory.data());
  offer.shared_bytes = memory.size();
  offer.shared_origin = terms_.into->origin;
  offer.shared_rkey = terms_.into->region.rkey();
  if (terms_.into->persistent) offer.features |= kPersistentFlush;
  return offer;
}

Status RingLink::Attach(const RingOffer& peer) {
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
  peer_ = peer;
  return Status::Ok();
}

// Opens the mirror only when it is first needed: a stranger could ask for a large one, but nothing is sent to
// strangers.
Status RingLink::OpenMirror() {
  if (outbound_region_) return Status::Ok();
  outbound_ = Pages(peer_->ring_bytes);
  if (outbound_.bytes().empty()) return {Code::kUnavailable, "no memory for a ring"};
  auto region = MemoryRegion::Register(pd_, outbound_.bytes(), 0);
  if (!region.ok()) return region.status();
  outbound_region_ = std::move(region.value());
  return Status::Ok();
}

// --- Sending.

std::uint32_t RingLink::Immediate(Kind kind, std::uint32_t value) {
  return static_cast<std::uint32_t>(kind) << kKindShift | value;
}

RingLink::Slot RingLink::Credited() const {
  if (!terms_.dialed) return credited_;
  const auto* slot = reinterpret_cast<const volatile Slot*>(inbound_.bytes().data());
  return {slot->ring_bytes, slot->receives};
}

// True if there are a position in the ring, a receive, a slot of the send queue (two with a flush), and one more slot
// for credit.
bool RingLink::Fits(std::uint32_t ring_bytes) const {
  const Slot credited = Credited();
  Cursor next = write_;
  if (ring_bytes != 0) (void)next.Take(ring_bytes, peer_->ring_bytes);
  return next.count - credited.ring_bytes <= peer_->ring_bytes && sent_ - credited.receives < peer_->receives &&
         queues_->room() > (flushes() ? 2 : 1);
}

Status RingLink::Post(const QueuePair::Work& work) {
  if (queues_->Post(std::span(&work, 1))) return Status::Ok();
  return {Code::kUnavailable, "the RDMA connection is broken"};
}

Status RingLink::PostChunk(std::span<const std::span<const std::byte>> parts) {
  if (Status status = OpenMirror(); !status.ok()) return status;
  std::uint32_t bytes = 0;
  for (const auto& part : parts) bytes += static_cast<std::uint32_t>(part.size());
  const std::uint64_t at = write_.Take(bytes, peer_->ring_bytes);
  const auto mirror = outbound_.bytes().subspan(at, bytes);
  CopyOut(parts, 0, mirror);
  ++sent_;
  return Post({.opcode = terms_.dialed ? IBV_WR_SEND_WITH_IMM : IBV_WR_RDMA_WRITE_WITH_IMM,
               .pieces = {{{mirror.data(), bytes, outbound_region_.lkey()}}},
               .remote = peer_->ring + kSlotBytes + at,
               .rkey = peer_->ring_rkey,
               .imm = Immediate(Kind::kChunk, bytes)});
}

Status RingLink::PostBody(std::span<const std::byte> body, std::uint64_t place) {
  const std::uint64_t offset = place - peer_->shared_origin;
  ++sent_;
  const QueuePair::Work work{
      .opcode = IBV_WR_RDMA_WRITE_WITH_IMM,
      .pieces = {{{body.data(), static_cast<std::uint32_t>(body.size()), terms_.from->region.lkey()}}},
      .remote = peer_->shared + offset,
      .rkey = peer_->shared_rkey,
      .imm = Immediate(Kind::kBody, static_cast<std::uint32_t>(offset / PlaceUnit(peer_->shared_bytes)))};
  if (!flushes()) return Post(work);
  if (queues_->PostFlushed(work)) return Status::Ok();
  return {Code::kUnavailable, "the RDMA connection is broken"};
}

Status RingLink::Send(std::span<const std::byte> head, std::span<const std::byte> body) {
  const FrameHeader header = MakeFrameHeader(head, static_cast<std::uint32_t>(body.size()));
  const std::uint32_t largest = terms_.dialed ? kUpBytes : peer_->ring_bytes / 4;
  const std::array<std::span<const std::byte>, 3> parts{std::as_bytes(std::span(&header, 1)), head, body};
  const std::size_t total = parts[0].size() + parts[1].size() + parts[2].size();
  if (queue_.empty() && total <= largest && Fits(static_cast<std::uint32_t>(total))) return PostChunk(parts);
  if (queued_bytes_ > terms_.queued_limit) {
    return {Code::kUnavailable, fmt::format("the peer does not keep up: {} bytes wait for it", queued_bytes_)};
  }
  for (std::size_t offset = 0; offset < total; offset += largest) {
    std::vector<std::byte>& chunk = queue_.emplace_back().chunk;
    chunk.resize(std::min<std::size_t>(largest, total - offset));
    CopyOut(parts, offset, chunk);
    queued_bytes_ += chunk.size();
  }
  return SendQueued();
}

Result<bool> RingLink::Place(std::span<const std::byte> body, std::uint64_t place) {
  const std::uint64_t offset = place - peer_->shared_origin;
  const bool can = terms_.from != nullptr && !body.empty() && body.size() <= kMaxPlacedBytes &&
                   terms_.from->region.Holds(body) && place >= peer_->shared_origin && offset <= peer_->shared_bytes &&
                   body.size() <= peer_->shared_bytes - offset && offset % PlaceUnit(peer_->shared_bytes) == 0;
  if (!can) return false;
  queue_.push_back({.chunk = {}, .body = body, .place = place});
  Status status = SendQueued();
  if (!status.ok()) return status;
  return true;
}

Status RingLink::SendQueued() {
  while (!queue_.empty()) {
    const Queued& next = queue_.front();
    if (!Fits(static_cast<std::uint32_t>(next.chunk.size()))) break;
    const std::array<std::span<const std::byte>, 1> parts{std::span<const std::byte>(next.chunk)};
    Status status = next.chunk.empty() ? PostBody(next.body, next.place) : PostChunk(parts);
    if (!status.ok()) return status;
    queued_bytes_ -= next.chunk.size();
    queue_.pop_front();
  }
  return Status::Ok();
}

// --- Receiving.

// Credit is returned for a quarter of the ring or of the receives at a time, so that one credit message stands for many
// messages, and the sender never runs out of credit.
bool RingLink::OwesCredit() const {
  return read_.count - returned_.ring_bytes >= terms_.ring_bytes / 4 ||
         taken_ - returned_.receives >= (QueuePair::kReceiveDepth - kCreditReceives) / 4;
}

Status RingLink::ReturnCredit() {
  if (!OwesCredit() || queues_->room() == 0) return Status::Ok();
  returned_ = {read_.count, taken_};
  static_assert(sizeof(Slot) <= QueuePair::kInlineBytes && sizeof(Slot) <= kUpBytes);
  return Post({.opcode = terms_.dialed ? IBV_WR_SEND_WITH_IMM : IBV_WR_RDMA_WRITE_WITH_IMM,
               .pieces = {{{&returned_, sizeof returned_, inbound_region_.lkey()}}},
               .remote = peer_->ring,
               .rkey = peer_->ring_rkey,
               .imm = Immediate(Kind::kCredit, 0)});
}

Result<bool> RingLink::Receive(std::uint32_t max_body, Sink& sink, std::string_view who) {
  const auto events = queues_->Poll();
  for (const QueuePair::Event& event : events) {
    if (event.kind == QueuePair::Event::Kind::kFailed) return Broken(event.status, who);
    // Flushes complete in the order in which they were posted, as all completions of one connection do.
    if (event.kind == QueuePair::Event::Kind::kFlushed) {
      sink.OnFlushed(++flushed_);
      if (!queues_->open()) return false;
    }
    if (event.kind != QueuePair::Event::Kind::kReceived) continue;
    ++unposted_receives_;
    if (Status status = Take(event, max_body, sink, who); !status.ok()) return status;
    if (!queues_->open()) return false;
  }
  // Receives are posted again when there is nothing else to do, when many are missing, or before the credit that
  // promises them; an answer goes first.
  if (events.empty() || OwesCredit() || unposted_receives_ >= kMaxUnposted) {
    const auto reposted = static_cast<std::uint32_t>(std::exchange(unposted_receives_, 0));
    if (reposted != 0 && !PostReceives(reposted)) return Broken(IBV_WC_WR_FLUSH_ERR, who);
  }
  if (!attached()) return !events.empty();
  if (Status status = ReturnCredit(); !status.ok()) return status;
  if (Status status = SendQueued(); !status.ok()) return status;
  return !events.empty();
}

Status RingLink::Take(const QueuePair::Event& event, std::uint32_t max_body, Sink& sink, std::string_view who) {
  const std::uint32_t value = event.imm & kValueMask;
  const std::uint64_t receive = received_++ % QueuePair::kReceiveDepth;
  if (event.landed == terms_.dialed) return Bad("a message that does not belong on its way", who);
  std::span<const std::byte> message;
  if (!terms_.dialed) message = inbound_.bytes().subspan(receive * kUpBytes, std::min(event.bytes, kUpBytes));
  switch (static_cast<Kind>(event.imm >> kKindShift)) {
    case Kind::kCredit: return TakeCredit(message, who);
    case Kind::kChunk: {
      const bool fits = value != 0 && (terms_.dialed ? value <= terms_.ring_bytes / 4 : value == message.size());
      if (!fits) return Bad("a message that is none", who);
      const std::uint64_t at = read_.Take(value, terms_.ring_bytes);
      ++taken_;
      return TakeChunk(terms_.dialed ? std::span<const std::byte>(InboundRing() + at, value) : message, max_body, sink,
                       who);
    }
    case Kind::kBody: return TakeBody(value, event.bytes, max_body, sink, who);
  }
  return Bad("a message that is none", who);
}

Status RingLink::TakeCredit(std::span<const std::byte> message, std::string_view who) {
  if (terms_.dialed) return Status::Ok();  // the peer has written the credit to the slot
  // Only what was sent can be given back.  So a stranger, to whom nothing is sent, cannot go on for ever with credit.
  if (sent_ == 0 || message.size() != sizeof credited_) return Bad("credit that is none", who);
  std::memcpy(&credited_, message.data(), sizeof credited_);
  return Status::Ok();
}

Status RingLink::TakeBody(std::uint64_t unit, std::uint32_t bytes, std::uint32_t max_body, Sink& sink,
                          std::string_view who) {
  if (terms_.into == nullptr || assembly_need_ != 0) return Bad("a body to no place", who);
  const auto memory = terms_.into->region.memory();
  const std::uint64_t offset = unit * PlaceUnit(memory.size());
  if (bytes > max_body) return DescribeFault(FrameState::kBodyTooLong, who, 0, max_body);
  if (offset > memory.size() || bytes > memory.size() - offset) return Bad("a body to no place", who);
  ++taken_;
  sink.OnPlaced(terms_.into->origin + offset, memory.subspan(offset, bytes));
  return Status::Ok();
}

Status RingLink::TakeChunk(std::span<const std::byte> chunk, std::uint32_t max_body, Sink& sink, std::string_view who) {
  if (assembly_need_ == 0) {
    std::span<const std::byte> head;
    FrameHeader header;
    const FrameState fault = ParseFrameHead(chunk, header, head);
    if (fault == FrameState::kIncomplete) return Bad("a frame that is too short", who);
    if (fault != FrameState::kFrame) return DescribeFault(fault, who, header.version, max_body);
    if (header.body_bytes > max_body) return DescribeFault(FrameState::kBodyTooLong, who, header.version, max_body);
    const auto rest = chunk.subspan(sizeof header + head.size());
    if (rest.size() > header.body_bytes) return Bad("a frame that is too long", who);
    if (rest.size() == header.body_bytes) {
      sink.OnFrame(head, rest);
      return Status::Ok();
    }
    assembly_need_ = sizeof header + head.size() + header.body_bytes;
    assembly_.reserve(assembly_need_);
  } else if (chunk.size() > assembly_need_ - assembly_.size()) {
    return Bad("a part of a frame that does not belong to it", who);
  }
  assembly_.insert(assembly_.end(), chunk.begin(), chunk.end());
  if (assembly_.size() < assembly_need_) return Status::Ok();
  // The frame's head was checked when its first chunk came.
  const std::vector<std::byte> whole = std::exchange(assembly_, {});
  assembly_need_ = 0;
  std::span<const std::byte> head;
  FrameHeader header;
  (void)ParseFrameHead(whole, header, head);
  sink.OnFrame(head, std::span(whole).subspan(sizeof header + head.size()));
  return Status::Ok();
}

}  // namespace faha
