// The two-phase baselines, and a bare two-way send, on the verbs that the product's fabric is made of.
// Both ends look and never sleep; what a protocol leaves to the devices costs its backup's processor nothing at all.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>

#include "bench/persist/rig.h"
#include "bench/persist/shipping.h"
#include "fabric/queue_pair.h"
#include "fabric/ring_link.h"
#include "fabric/socket.h"

namespace faha::bench {

namespace {

constexpr int kResolveMilliseconds = 2000;
constexpr std::uint8_t kReads = 16;  // that a link carries at a time
constexpr std::uint32_t kSlotBytes = 16U << 10;
constexpr std::uint32_t kSlots = 64;

// Where a backup's log lies, as it tells in its connection request.
struct Offer {
  std::uint64_t memory = 0;
  std::uint32_t rkey = 0;
};

// What write-send's second phase names.
struct Request {
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
};

[[noreturn]] void DieOf(std::string_view what) {
  Die({Code::kUnavailable, fmt::format("{}: {}", what, ErrnoText(errno))});
}

std::span<std::byte> SharedOf(Log* log) {
  const auto memory = log->pool().media().shared();
  if (memory.empty()) Die({Code::kUnavailable, "the two-phase protocols need pools on device DAX"});
  return memory;
}

// One reliable connection with the log's memory and some slots for messages.
struct Line {
  Line(rdma_cm_id* made, Log* log) : cm(made), slots(std::size_t{kSlotBytes} * kSlots) {
    pd = ibv_alloc_pd(cm->verbs);
    if (pd == nullptr) DieOf("the RDMA device gives no protection domain");
    constexpr int kAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ;
    memory = Require(MemoryRegion::Register(pd, SharedOf(log), kAccess));
    messages = Require(MemoryRegion::Register(pd, slots.bytes(), kAccess));
    queues = Require(QueuePair::Create(cm, pd, nullptr));
    for (std::uint32_t i = 0; i < kSlots / 2; ++i) Receive(i);
  }
  ~Line() {
    queues->Shut();
    memory = {};
    messages = {};
    rdma_destroy_id(cm);
    ibv_dealloc_pd(pd);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // Slots of the lower half receive, in turn; those of the upper half send.
  [[nodiscard]] std::byte* Slot(std::uint64_t number) const {
    return slots.bytes().data() + number % (kSlots / 2) * kSlotBytes;
  }
  void Receive(std::uint64_t number) const {
    if (!queues->PostReceive({Slot(number), kSlotBytes, messages.lkey()})) DieOf("the RDMA device takes no receive");
  }
  void Post(std::span<const QueuePair::Work> works) const {
    if (!queues->Post(works)) DieOf("the RDMA device takes no request");
  }
  [[nodiscard]] std::byte* Outgoing() const { return slots.bytes().data() + slots.bytes().size() / 2; }
  // A batch where the log has it.
  [[nodiscard]] QueuePair::Piece PieceOf(std::span<const std::byte> batch) const {
    return {batch.data(), static_cast<std::uint32_t>(batch.size()), memory.lkey()};
  }
  // A message of at most the inline size.
  template <typename Message>
  void Tell(const Message& message) const {
    static_assert(sizeof message <= QueuePair::kInlineBytes);
    std::byte* slot = Outgoing();
    std::memcpy(slot, &message, sizeof message);
    const QueuePair::Work work{.opcode = IBV_WR_SEND, .pieces = {{{slot, sizeof message, messages.lkey()}}}};
    Post(std::span(&work, 1));
  }

  rdma_cm_id* cm;
  ibv_pd* pd = nullptr;
  Pages slots;
  MemoryRegion memory, messages;
  std::unique_ptr<QueuePair> queues;
  Offer peer;
};

class VerbsShipping final : public Shipping {
 public:
  VerbsShipping(const Peer& self, Log* log) : protocol_(self.protocol), log_(log) {
    // As the fabric does, and before any other verb of this process.
    if (ibv_fork_init() != 0) DieOf("the RDMA library cannot bear a fork");
    SocketAddress address = Require(ResolveNumeric({self.host, 0}));
    if (rdma_create_id(nullptr, &listener_, nullptr, RDMA_PS_TCP) != 0 ||
        rdma_bind_addr(listener_, address.get()) != 0 || rdma_listen(listener_, 8) != 0) {
      DieOf(fmt::format("cannot listen for RDMA at {}", self.host));
    }
  }
  ~VerbsShipping() override {
    backups_.clear();
    rdma_destroy_id(listener_);
  }
  VerbsShipping(const VerbsShipping&) = delete;
  VerbsShipping& operator=(const VerbsShipping&) = delete;

  [[nodiscard]] std::uint16_t port() const override { return ntohs(rdma_get_src_port(listener_)); }

  void AwaitBackups(std::size_t count) override {
    while (backups_.size() < count) {
      rdma_cm_id* id = nullptr;
      if (rdma_get_request(listener_, &id) != 0) DieOf("no backup connects");
      Offer offer;
      if (id->event->param.conn.private_data_len < sizeof offer) Die({Code::kProtocol, "a backup made no offer"});
      std::memcpy(&offer, id->event->param.conn.private_data, sizeof offer);
      auto backup = std::make_unique<Backup>(id, log_);
      backup->line.peer = offer;
      rdma_conn_param parameters{};
      parameters.initiator_depth = parameters.responder_resources = kReads;
      parameters.rnr_retry_count = 7;
      if (rdma_accept(id, &parameters) != 0) DieOf("a backup cannot be accepted");
      backups_.push_back(std::move(backup));
    }
  }

  void Post(const LocatedBatch& batch) override {
    for (const auto& backup : backups_) Begin(*backup, {batch.view.lsn(), batch.at, batch.bytes});
  }

  Lsn Durable() override {
    Lsn lowest{UINT64_MAX};
    for (const auto& backup : backups_) {
      Look(*backup);
      lowest = std::min(lowest, backup->durable);
    }
    return lowest;
  }

 private:
  struct Shipped {
    Lsn lsn;
    LogAddress at;
    std::span<const std::byte> bytes;
  };
  struct Backup {
    Backup(rdma_cm_id* id, Log* log) : line(id, log) {}
    Line line;
    // Requests whose completion is awaited, in the order in which they were posted.
    std::deque<std::pair<ibv_wr_opcode, Shipped>> posted;
    std::deque<Shipped> asked;  // answers that are awaited
    std::uint64_t received = 0;
    Lsn durable;
  };

  // The batch's bytes to their place.
  static QueuePair::Work Write(const Line& line, const Shipped& batch, bool signal) {
    return {.opcode = IBV_WR_RDMA_WRITE,
            .pieces = {line.PieceOf(batch.bytes)},
            .remote = line.peer.memory + batch.at.value,
            .rkey = line.peer.rkey,
            .signal = signal};
  }
  // The batch's last bytes: what was written before them has left the devices.
  static QueuePair::Work Read(const Line& line, const Shipped& batch) {
    return {.opcode = IBV_WR_RDMA_READ,
            .pieces = {{{line.Outgoing(), 8, line.messages.lkey()}}},
            .remote = line.peer.memory + batch.at.value + batch.bytes.size() - 8,
            .rkey = line.peer.rkey,
            .signal = true};
  }

  void Begin(Backup& backup, const Shipped& batch) {
    if (protocol_ == Protocol::kWriteAndRead) {
      const std::array<QueuePair::Work, 2> works{Write(backup.line, batch, false), Read(backup.line, batch)};
      backup.line.Post(works);
      backup.posted.emplace_back(IBV_WR_RDMA_READ, batch);
    } else if (protocol_ == Protocol::kBareSend) {
      const QueuePair::Work work{.opcode = IBV_WR_SEND, .pieces = {backup.line.PieceOf(batch.bytes)}};
      backup.line.Post(std::span(&work, 1));
      backup.asked.push_back(batch);
    } else {
      const QueuePair::Work work = Write(backup.line, batch, true);
      backup.line.Post(std::span(&work, 1));
      backup.posted.emplace_back(IBV_WR_RDMA_WRITE, batch);
    }
  }

  void Look(Backup& backup) {
    for (const QueuePair::Event& event : backup.line.queues->Poll()) {
      switch (event.kind) {
        case QueuePair::Event::Kind::kFailed:
          Die({Code::kUnavailable, fmt::format("a backup is lost: {}", ibv_wc_status_str(event.status))});
        case QueuePair::Event::Kind::kReceived:
          backup.line.Receive(backup.received++);
          backup.durable = backup.asked.front().lsn;
          backup.asked.pop_front();
          break;
        case QueuePair::Event::Kind::kFlushed: break;  // nobody posts one here
        case QueuePair::Event::Kind::kSent:
          // A SEND's completion is nobody's business.
          if (!backup.posted.empty()) Completed(backup);
          break;
      }
    }
  }

  void Completed(Backup& backup) {
    const auto [opcode, batch] = backup.posted.front();
    backup.posted.pop_front();
    if (opcode == IBV_WR_RDMA_READ) {
      backup.durable = batch.lsn;
    } else if (protocol_ == Protocol::kWriteRead) {
      const QueuePair::Work work = Read(backup.line, batch);
      backup.line.Post(std::span(&work, 1));
      backup.posted.emplace_back(IBV_WR_RDMA_READ, batch);
    } else {
      backup.line.Tell(Request{batch.at.value, batch.bytes.size()});
      backup.asked.push_back(batch);
    }
  }

  Protocol protocol_;
  Log* log_;
  rdma_cm_id* listener_ = nullptr;
  std::vector<std::unique_ptr<Backup>> backups_;
};

}  // namespace

std::unique_ptr<Shipping> ShipOverVerbs(const Peer& self, Log* log) {
  return std::make_unique<VerbsShipping>(self, log);
}

void ServeOverVerbs(const Peer& primary, Log* log) {
  SocketAddress address = Require(ResolveNumeric({primary.host, primary.port}));
  rdma_cm_id* id = nullptr;
  if (rdma_create_id(nullptr, &id, nullptr, RDMA_PS_TCP) != 0 ||
      rdma_resolve_addr(id, nullptr, address.get(), kResolveMilliseconds) != 0 ||
      rdma_resolve_route(id, kResolveMilliseconds) != 0) {
    DieOf("no RDMA device reaches the primary");
  }
  Line line(id, log);
  const Offer offer{reinterpret_cast<std::uint64_t>(line.memory.memory().data()), line.memory.rkey()};
  rdma_conn_param parameters{};
  parameters.private_data = &offer;
  parameters.private_data_len = sizeof offer;
  parameters.initiator_depth = parameters.responder_resources = kReads;
  parameters.retry_count = 6;
  parameters.rnr_retry_count = 7;
  if (rdma_connect(id, &parameters) != 0) DieOf("the primary does not accept");

  if (primary.protocol == Protocol::kWriteRead || primary.protocol == Protocol::kWriteAndRead) {
    std::byte end{};
    while (::read(0, &end, 1) > 0) {
    }
    return;
  }
  Media& media = log->pool().media();
  std::uint64_t received = 0;
  for (std::uint32_t looks = 0; looks++ % 4096 != 0 || !AskedToEnd();) {
    for (const QueuePair::Event& event : line.queues->Poll()) {
      if (event.kind == QueuePair::Event::Kind::kFailed) return;
      if (event.kind != QueuePair::Event::Kind::kReceived) continue;
      if (primary.protocol == Protocol::kWriteSend) {
        Request request;
        std::memcpy(&request, line.Slot(received), sizeof request);
        media.Landed(request.offset, request.bytes);
        Require(media.Drain());
      }
      line.Receive(received++);
      line.Tell(std::uint64_t{received});
    }
  }
}

}  // namespace faha::bench
