// One node: the store that the module sees.  It owns the parts, introduces them to one another, and says what ticks in
// which order; what a node does is in the parts.  Thread: main loop only.
//   node.cc        the keyspace, what ticks, damage
//   node_open.cc   opening: recovery, the fabric
//   node_info.cc   what an operator sees
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "cluster/address_book.h"
#include "cluster/service_watch.h"
#include "cluster/voter.h"
#include "faha/store.h"
#include "store/committer.h"
#include "store/election.h"
#include "store/follower.h"
#include "store/health.h"
#include "store/large_views.h"
#include "store/primary.h"
#include "store/probes.h"
#include "store/replica.h"
#include "store/sessions.h"
#include "store/source.h"
#include "store/space.h"
#include "store/standing.h"
#include "store/votes.h"

namespace faha {

class Node final : public Store, private Primary::Loop, private ElementWriter {
 public:
  Node(const Options& options, StoreObserver* observer, Env env);
  ~Node() override;
  // The parts of Store::Open, in this order.  The first one touches nothing outside of the process.
  // Errors: BadConfig; Unavailable - RDMA is required but is not available.
  Status ChooseFabric();
  Status Start(std::unique_ptr<Media> media);
  Status OpenFabric();

  Status CheckRead() override;
  Status CheckWrite(std::uint64_t bytes, std::uint64_t records) override;
  Status CheckErase(std::uint64_t bytes, std::uint64_t records) override;
  [[nodiscard]] bool Serving() const override { return primary_->Serving(); }
  std::optional<Entry> Get(DbId db, std::string_view key) override;
  void Prefetch(DbId db, std::span<const std::string_view> keys) const override;
  void PrefetchFirst(DbId db, std::string_view key) const override;
  Status Put(DbId db, std::string_view key, const Entry& entry) override;
  Status Delete(DbId db, std::string_view key) override;
  [[nodiscard]] bool HasLarge() const override { return replica_.membership().level() >= kElementsLevel; }
  std::unique_ptr<Collection> OpenLarge(const Entry& entry) override;
  std::unique_ptr<Collection> NewLarge(ValueType type) override;
  Status Flush(std::optional<DbId> db) override;
  Status Swap(DbId a, DbId b) override;
  void ForEachKey(DbId db, const std::function<void(std::string_view)>& visit) const override {
    engine_->ForEachKey(db, visit);
  }
  std::uint64_t Scan(DbId db, std::uint64_t cursor, const Visitor& visit) const override {
    return engine_->Scan(db, cursor, visit);
  }
  bool RandomKey(DbId db, std::uint64_t random, const Visitor& visit) const override {
    return engine_->RandomKey(db, random, visit);
  }
  std::uint64_t ScanExpiring(std::uint64_t cursor, const ExpiryVisitor& visit) const override {
    return engine_->ScanExpiring(cursor, visit);
  }
  [[nodiscard]] std::uint64_t Expiring(DbId db) const override { return engine_->Expiring(db); }
  [[nodiscard]] std::uint64_t Expiring() const override { return engine_->Expiring(); }
  [[nodiscard]] bool Promotable() const override { return election_->Promotable(); }
  [[nodiscard]] std::uint64_t HotUsedBytes() const override { return engine_->hot().MemoryBytes(); }
  [[nodiscard]] std::uint64_t Size(DbId db) const override { return engine_->Size(db); }
  [[nodiscard]] std::uint64_t MaxRecordBytes() const override { return log_->MaxRecordBytes() - 64; }
  void EndUnit() override { primary_->EndUnit(); }
  [[nodiscard]] Status CheckTold() const override { return engine_->misread() ? pool_->damage() : Status::Ok(); }
  [[nodiscard]] bool NeedsCommit() const override { return primary_->NeedsCommit(); }
  Status Commit() override { return primary_->Commit(); }
  Status CommitInside() override { return primary_->CommitInside(); }
  void Follow(const Endpoint& primary) override { election_->Follow(primary); }
  void Suggest(const Endpoint& primary) override { follower_->Suggest(primary); }
  void Promote(std::chrono::milliseconds patience, std::function<void(const Status&)> done) override {
    election_->Promote(patience, std::move(done));
  }
  void TakeOver(std::chrono::milliseconds patience, std::function<void(const Status&)> done) override {
    election_->TakeOver(patience, std::move(done));
  }
  void HandOver(const std::optional<Endpoint>& target, std::function<void(const Status&)> done) override {
    primary_->HandOver(target, std::move(done));
  }
  Status Forget(const Endpoint& member) override { return primary_->Forget(member); }
  void Force(std::function<void(const Status&)> done) override { election_->Force(std::move(done)); }
  [[nodiscard]] bool MissesPrimary() const override { return election_->MissesPrimary(); }
  Status Remember(std::string_view note) override;
  [[nodiscard]] std::string_view Remembered() const override { return pool_->note(); }
  Status Checkpoint() override { return replica_.Checkpoint(standing_.Leading()); }
  Result<Lsn> HoldSegments(std::function<void(const Status&)> lost) override;
  void ReleaseSegments(const Status& outcome) override { replica_.EndHold(outcome); }
  Status ReadHeld(const HeldVisitor& visit) const override { return replica_.ReadHeld(visit); }
  [[nodiscard]] int descriptor() const override { return fabric_->descriptor(); }
  void Poll() override { fabric_->Poll(std::chrono::microseconds{0}, *sessions_); }
  void Tick() override;
  [[nodiscard]] StoreInfo Info() const override;
  [[nodiscard]] const Options& options() const override { return options_; }
  void Tune(const std::function<void(Options&)>& change) override { change(options_); }

 private:
  // --- node.cc
  // For reads at a backup.
  Status CheckBackupRead();
  // Calls `write`, which makes a change, and ships the batches that it has filled.
  template <typename Write>
  Status Change(Write write);
  Result<bool> PutElement(const CollectionId& id, ValueType type, std::string_view subkey,
                          std::string_view value) override;
  Result<bool> EraseElement(const CollectionId& id, std::string_view subkey) override;
  void TendDamage();
  void StepService();
  [[nodiscard]] Status CheckHoldable() const;
  // The main loop, for a primary.
  void HearPeers(MonoTime longest) override { fabric_->Poll(longest, *sessions_); }
  void TurnCommitted() override { space_->Clean(false); }

  // --- node_info.cc
  [[nodiscard]] std::string_view StateWord() const;
  // What is wrong, as one line, and how long ago it happened; 0: it still goes on.
  [[nodiscard]] std::pair<std::string, std::chrono::milliseconds> Trouble() const;
  [[nodiscard]] std::chrono::milliseconds Since(MonoTime time) const;

  Options options_;
  StoreObserver* observer_;
  std::unique_ptr<Clock> own_clock_;
  std::unique_ptr<Fabric> own_fabric_;
  Clock* clock_;
  Fabric* fabric_;
  std::pmr::memory_resource* memory_;
  std::string remark_;  // why batches do not go over RDMA although they should; later the follower knows
  Member self_;

  // The parts.  Each of them knows only parts above it, except that Election is told by Primary and Follower what
  // becomes of them.
  Health health_;
  Standing standing_;
  Replica replica_;
  Pool* pool_ = nullptr;  // the replica's, as the next two
  Log* log_ = nullptr;
  Engine* engine_ = nullptr;
  AddressBook book_;
  std::optional<Voter> voter_;
  std::optional<Probes> probes_;
  std::optional<Committer> committer_;
  std::optional<Primary> primary_;
  std::optional<Follower> follower_;
  std::optional<Source> source_;
  std::optional<Space> space_;
  std::optional<Election> election_;
  std::optional<Votes> votes_;
  std::optional<Sessions> sessions_;

  ServiceWatch service_;
  MonoTime next_hand_over_{0};  // when a primary with a damaged log tries next to hand over
  // Since the start.
  std::uint64_t records_ = 0, record_bytes_ = 0;
};

}  // namespace faha
