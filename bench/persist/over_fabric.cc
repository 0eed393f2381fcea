// The Persist RPC as the product runs it: its fabric, its messages, its log.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "bench/persist/rig.h"
#include "bench/persist/shipping.h"
#include "fabric/rdma_fabric.h"
#include "fabric/tcp_fabric.h"
#include "replication/shipper.h"
#include "replication/wire.h"

namespace faha::bench {

namespace {

constexpr std::chrono::microseconds kPatience{10'000'000};
constexpr Epoch kEpoch{1};

// A fabric as the protocol wants it.
struct Wire {
  explicit Wire(const Peer& peer) : lane(peer.protocol == Protocol::kTcp ? Lane::kControl : Lane::kData) {
    if (lane == Lane::kControl) {
      auto made = std::make_unique<TcpFabric>();
      port = [tcp = made.get()] { return tcp->port(); };
      fabric = std::move(made);
    } else {
      auto made = Require(RdmaFabric::Create(true));
      port = [rdma = made.get()] { return rdma->port(); };
      fabric = std::move(made);
    }
    fabric->SetSpin(peer.spin);
  }
  void Share(const Peer& peer, Log* log) const {
    const bool flush = peer.protocol == Protocol::kPersistFlush;
    if (peer.protocol != Protocol::kPersist && peer.protocol != Protocol::kUnbatched && !flush) return;
    const auto memory = log->pool().media().shared();
    if (memory.empty()) Die({Code::kUnavailable, "persist needs pools on device DAX; persist-ring does not"});
    Require(fabric->ShareMemory(memory.subspan(format::kDataOffset), format::kDataOffset, flush));
  }
  Lane lane;
  std::unique_ptr<Fabric> fabric;
  std::function<std::uint16_t()> port;
};

// Reads the log as the store does.
class Reader final : public BatchReader {
 public:
  explicit Reader(const Log* log) : log_(log) {}
  std::optional<Shippable> Peek() override {
    ahead_ = cursor_;
    const auto batch = log_->Next(ahead_);
    if (!batch) return std::nullopt;
    return Shippable{batch->view.lsn(), batch->at, batch->bytes, batch->reused_after, batch->opens_segment};
  }
  void Take() override { cursor_ = ahead_; }
  [[nodiscard]] Lsn Committed() const override { return Lsn{}; }
  [[nodiscard]] Lsn WholeAt() const override { return Committed(); }
  [[nodiscard]] std::vector<std::uint64_t> Generations() const override { return {}; }

 private:
  const Log* log_;
  LogCursor cursor_, ahead_;
};

class FabricShipping final : public Shipping, private FabricHandler {
 public:
  FabricShipping(const Peer& self, Log* log)
      : wire_(self), must_flush_(self.protocol == Protocol::kPersistFlush), log_(log) {
    Require(wire_.fabric->Listen({self.host, 0}));
    wire_.Share(self, log);
  }

  [[nodiscard]] std::uint16_t port() const override { return wire_.port(); }

  void AwaitBackups(std::size_t count) override {
    while (backups_.size() < count) PollOrDie();
  }
  [[nodiscard]] bool Possible() const override {
    return !must_flush_ || std::all_of(backups_.begin(), backups_.end(),
                                       [&](const auto& backup) { return wire_.fabric->Flushes(backup.first); });
  }

  void Post(const LocatedBatch& batch) override {
    posted_ = batch.view.lsn();
    for (auto& [link, shipper] : backups_) Ship(shipper);
  }

  Lsn Durable() override {
    if (Lowest() < posted_) PollOrDie();
    return Lowest();
  }

 private:
  [[nodiscard]] Lsn Lowest() const {
    Lsn lowest = posted_;
    for (const auto& [link, shipper] : backups_) lowest = std::min(lowest, shipper.acked());
    return lowest;
  }

  static void Ship(Shipper& shipper) {
    shipper.Pump(kEpoch, Lsn{}, std::numeric_limits<std::size_t>::max());
    if (!shipper.whole()) Die({Code::kCorrupt, "the log has a gap: nothing is cleaned here"});
  }

  void PollOrDie() {
    heard_ = false;
    const auto start = std::chrono::steady_clock::now();
    while (!heard_) {
      wire_.fabric->Poll(kPatience, *this);
      if (std::chrono::steady_clock::now() - start > kPatience) {
        Die({Code::kUnavailable, fmt::format("a backup does not answer: {} are connected, batch {} of {} is persistent "
                                             "on all",
                                             backups_.size(), Lowest().value, posted_.value)});
      }
    }
  }

  void OnAccept(LinkId link, const Endpoint&, Lane) override {
    heard_ = true;
    wire_.fabric->Trust(link);  // nobody else is here
    Shipper shipper(wire_.fabric.get(), std::make_unique<Reader>(log_),
                    {.receiver = {}, .domain = log_->pool().media().domain(), .released_through = {}, .common = {}});
    shipper.OpenData(link);
    backups_.emplace(link, std::move(shipper));
  }
  void OnConnect(LinkId) override {}
  void OnFrame(LinkId link, std::span<const std::byte> head, std::span<const std::byte>) override {
    const auto ack = wire::Decode<wire::Ack>(head);
    Shipper& shipper = backups_.at(link);
    if (!ack || !shipper.OnAck(ack->durable, ack->applied)) {
      Die({Code::kProtocol, "a backup sent something that is no acknowledgement"});
    }
    heard_ = true;
    Ship(shipper);
  }
  void OnPlaced(LinkId, std::uint64_t, std::span<const std::byte>) override {
    Die({Code::kProtocol, "a backup placed something"});
  }
  void OnFlushed(LinkId link, std::uint64_t count) override {
    heard_ = true;
    Shipper& shipper = backups_.at(link);
    shipper.OnFlushed(count);
    Ship(shipper);
  }
  void OnClose(LinkId, const Status& reason) override { Die(reason); }
  void OnPollEnd() override {}

  Wire wire_;
  bool must_flush_;
  Log* log_;
  std::map<LinkId, Shipper> backups_;
  Lsn posted_;
  bool heard_ = false;
};

class FabricBackup final : private FabricHandler {
 public:
  FabricBackup(const Peer& primary, Log* log) : wire_(primary), log_(log) {
    wire_.Share(primary, log);
    link_ = wire_.fabric->Dial({primary.host, primary.port}, wire_.lane);
  }
  void Serve() {
    // A primary that has connected ends by closing the link; asking after each batch would cost a system call.
    while (!closed_ && (std::exchange(heard_, false) || !AskedToEnd())) {
      wire_.fabric->Poll(std::chrono::milliseconds{100}, *this);
    }
  }

 private:
  void OnAccept(LinkId, const Endpoint&, Lane) override {}
  void OnConnect(LinkId link) override {
    wire_.fabric->AllowBody(link, static_cast<std::uint32_t>(log_->pool().geometry().segment_bytes));
  }
  void OnFrame(LinkId, std::span<const std::byte> head, std::span<const std::byte> body) override {
    const auto batch = wire::Decode<wire::Batch>(head);
    if (!batch || batch->epoch != kEpoch) Die({Code::kProtocol, "the primary sent something that is no batch"});
    Land(batch->at, body);
  }
  void OnPlaced(LinkId, std::uint64_t place, std::span<const std::byte> body) override {
    Land(LogAddress{place}, body);
  }
  void OnFlushed(LinkId, std::uint64_t) override {}
  void OnClose(LinkId, const Status&) override { closed_ = true; }
  void OnPollEnd() override {
    if (!landed_) return;
    landed_ = false;
    heard_ = true;
    Require(log_->Drain());
    wire_.fabric->Send(link_, wire::Encode(wire::Ack{kEpoch, log_->durable()}));
  }

  void Land(LogAddress at, std::span<const std::byte> bytes) {
    Require(log_->Land(at, bytes));
    landed_ = true;
  }

  Wire wire_;
  Log* log_;
  LinkId link_ = LinkId::kNone;
  bool landed_ = false, heard_ = false, closed_ = false;
};

}  // namespace

std::unique_ptr<Shipping> ShipOverFabric(const Peer& self, Log* log) {
  return std::make_unique<FabricShipping>(self, log);
}

void ServeOverFabric(const Peer& primary, Log* log) { FabricBackup(primary, log).Serve(); }

}  // namespace faha::bench
