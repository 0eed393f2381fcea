// What a shipper reads from and sends to, without a log and without a peer.
#pragma once

#include <optional>
#include <vector>

#include "faha/fabric.h"
#include "replication/shipper.h"

namespace faha {

// Remembers what it was to send.
class SentFabric final : public Fabric {
 public:
  std::vector<std::size_t> bodies;
  std::vector<LinkId> links;  // of the bodies that were no placed ones
  std::size_t queued = 0;
  std::optional<std::uint64_t> on_the_way;
  bool places = false;

  using Fabric::Send;
  Status Listen(const Endpoint&) override { return Status::Ok(); }
  LinkId Dial(const Endpoint&, Lane) override { return LinkId::kNone; }
  void Send(LinkId link, std::span<const std::byte>, std::span<const std::byte> body) override {
    if (!body.empty()) bodies.push_back(body.size()), links.push_back(link);
  }
  bool Place(LinkId, std::span<const std::byte> body, std::uint64_t) override {
    if (places) bodies.push_back(body.size());
    return places;
  }
  [[nodiscard]] std::size_t QueuedBytes(LinkId) const override { return queued; }
  [[nodiscard]] std::optional<std::uint64_t> BytesOnTheWay(LinkId) const override { return on_the_way; }
  void AllowBody(LinkId, std::uint32_t) override {}
  void Close(LinkId) override {}
  void Poll(std::chrono::microseconds, FabricHandler&) override {}
  Status ShareMemory(std::span<std::byte>, std::uint64_t, bool) override { return Status::Ok(); }
  [[nodiscard]] int descriptor() const override { return -1; }
};

// An endless log of batches of one size.
class EndlessLog final : public BatchReader {
 public:
  explicit EndlessLog(std::size_t batch_bytes, std::uint64_t opens_every = 0)
      : bytes_(batch_bytes), opens_every_(opens_every) {}
  std::optional<Shippable> Peek() override {
    Shippable batch{.lsn = Lsn{taken_ + 1}, .at = LogAddress{1}, .bytes = bytes_, .reused_after = {}};
    batch.opens_segment = opens_every_ != 0 && batch.lsn.value % opens_every_ == 0;
    return batch;
  }
  void Take() override { ++taken_; }
  // What comes next was cleaned away.
  void Skip(std::uint64_t batches) { taken_ += batches; }
  [[nodiscard]] Lsn Committed() const override { return Lsn{}; }
  [[nodiscard]] Lsn WholeAt() const override { return whole_at; }
  [[nodiscard]] std::vector<std::uint64_t> Generations() const override { return {7, 9}; }

  Lsn whole_at;

 private:
  std::vector<std::byte> bytes_;
  std::uint64_t opens_every_, taken_ = 0;
};

}  // namespace faha
