#include "store/node.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/mutant.h"

namespace faha {

namespace {
// A primary whose log is damaged tries to hand over once in every period of this length.
constexpr MonoTime kDamagePeriod = std::chrono::seconds(1);
// What a record takes besides its key and value, at most (bytes).
constexpr std::uint64_t kRecordOverhead = sizeof(format::RecordHeader) + sizeof(TimeMs) + format::kRecordAlign;
}  // namespace

// --- The keyspace.

Status Node::CheckRead() {
  if (standing_.role() == Role::kBackup && options_.backup_reads) return CheckBackupRead();
  Status status = primary_->CheckServing(Code::kNotPrimary);
  if (status.ok()) primary_->Read();
  return status;
}

Status Node::CheckBackupRead() {
  if (!health_.ok()) return {Code::kFenced, std::string(health_.failure().message())};
  if (replica_.hides_keys()) return replica_.CheckDatabases();
  if (!follower_->MayBeRead()) return primary_->CheckServing(Code::kNotPrimary);
  primary_->ReadAtBackup();
  return Status::Ok();
}

Status Node::CheckWrite(std::uint64_t bytes, std::uint64_t records) {
  if (Status status = primary_->CheckServing(Code::kReadOnly); !status.ok()) return status;
  return records == 0 ? Status::Ok() : space_->MakeRoom(bytes + records * kRecordOverhead, Log::kReservedSegments);
}

Status Node::CheckErase(std::uint64_t bytes, std::uint64_t records) {
  if (Status status = primary_->CheckServing(Code::kReadOnly); !status.ok()) return status;
  return space_->MakeRoom(bytes + records * kRecordOverhead, Log::kCleanerSegments);
}

template <typename Write>
Status Node::Change(Write write) {
  if (Status status = primary_->CheckChange(); !status.ok()) return status;
  const std::uint64_t appended = log_->appended();
  return primary_->Changed(appended, write());
}

std::optional<Entry> Node::Get(DbId db, std::string_view key) { return engine_->Get(db, key); }

void Node::Prefetch(DbId db, std::span<const std::string_view> keys) const { engine_->Prefetch(db, keys); }

void Node::PrefetchFirst(DbId db, std::string_view key) const { engine_->PrefetchFirst(db, key); }

Status Node::Put(DbId db, std::string_view key, const Entry& entry) {
  const FeatureLevel needed = entry.large                        ? kElementsLevel
                              : entry.type != ValueType::kString ? kValueTypesLevel
                                                                 : kLowestLevel;
  if (replica_.membership().level() < needed) {
    return {Code::kPeerVersion,
            fmt::format("a {} cannot be stored at feature level {}: all members must know level {}; "
                        "see FAHA.STATUS",
                        NameOf(entry.type), replica_.membership().level(), needed)};
  }
  ++records_;
  record_bytes_ += key.size() + entry.value.size();
  return Change([&] { return engine_->Put(db, key, entry); });
}

Status Node::Delete(DbId db, std::string_view key) {
  ++records_;
  record_bytes_ += key.size();
  return Change([&] { return engine_->Delete(db, key); });
}

std::unique_ptr<Collection> Node::OpenLarge(const Entry& entry) {
  if (entry.value.size() != format::kCollectionIdBytes) return nullptr;
  return ViewLarge(ReadCollectionId(entry.value), entry.type, *engine_, *this);
}

std::unique_ptr<Collection> Node::NewLarge(ValueType type) {
  return ViewLarge(engine_->NewCollection(), type, *engine_, *this);
}

Result<bool> Node::PutElement(const CollectionId& id, ValueType type, std::string_view subkey, std::string_view value) {
  ++records_;
  record_bytes_ += subkey.size() + value.size();
  Result<bool> done = false;
  Status status = Change([&] {
    done = engine_->PutElement(id, type, subkey, value);
    return done.status();
  });
  return status.ok() ? done : Result<bool>(std::move(status));
}

Result<bool> Node::EraseElement(const CollectionId& id, std::string_view subkey) {
  ++records_;
  record_bytes_ += subkey.size();
  Result<bool> done = false;
  Status status = Change([&] {
    done = engine_->EraseElement(id, subkey);
    return done.status();
  });
  return status.ok() ? done : Result<bool>(std::move(status));
}

Status Node::Flush(std::optional<DbId> db) {
  return Change([&] { return engine_->Flush(db); });
}

Status Node::Swap(DbId a, DbId b) {
  if (Status status = CheckWrite(engine_->SwapBytes(), 1); !status.ok()) return status;
  return Change([&] { return engine_->Swap(a, b); });
}

// Damage was found by a look at old batches or at a record, and what is damaged is not told, moved or shipped any more.
// The other members have it whole, so a primary hands its role over and then takes the whole log from them, as a backup
// does.  Until it can hand over it goes on as the primary, because without it there may be no majority.
void Node::TendDamage() {
  replica_.RecordDamage();
  const Status damage = pool_->damage();
  if (pool_->installing() && (engine_->broken() || !damage.ok())) {
    // The rest of the log would not mend the damage, so the install starts again.
    follower_->receiver().Stop();
    follower_->receiver().Start();
    return;
  }
  // A turn that has met the damage must fail first.
  if (damage.ok() || !replica_.whole() || primary_->offer() != nullptr || primary_->waiting() || log_->InUnit() ||
      engine_->misread())
    return;
  if (replica_.members().size() < 2) {
    (void)health_.Fail(damage);
  } else if (!standing_.Leading()) {
    replica_.GiveUpDamaged();
    election_->EndCampaign(damage);
    follower_->receiver().Stop();
    follower_->receiver().Start();
  } else if (primary_->LeadsNobodyFor(options_.lease)) {
    // This node leads nobody, and only keeps the others from electing another primary.
    election_->StepDown("its log is damaged, and no majority hears it");
  } else if (clock_->Now() >= next_hand_over_) {
    next_hand_over_ = clock_->Now() + kDamagePeriod;
    health_.Remember(damage);
    primary_->HandOver(std::nullopt, [](const Status&) {});
    if (engine_->broken() && primary_->offer() == nullptr && standing_.Leading()) {
      election_->StepDown("its log is damaged, it serves nothing, and no backup can be given its role");
    }
  }
}

Status Node::Remember(std::string_view note) {
  static_assert(Store::kMaxNote == Pool::kMaxNote);
  if (!health_.ok()) return health_.failure();
  const Status status = pool_->SetNote(note);
  return status.ok() || status.code() == Code::kTooLarge ? status : health_.Fail(status);
}

void Node::StepService() {
  if (primary_->Leads()) return service_.Serves(replica_.members().size() > 1);
  const bool may_recover = standing_.Leading() && !primary_->LeaseGivenUp();
  if (service_.DoesNot(may_recover, clock_->Now(), options_.persist_timeout)) observer_->OnServiceLost();
}

void Node::Tick() {
  StepService();
  if (!health_.ok() || !replica_.CheckMedium().ok()) return;
  const MonoTime now = clock_->Now();
  primary_->Heartbeat(now);
  fabric_->SetSpin(options_.rdma_spin);
  follower_->receiver().OnTick();
  replica_.LookAtDatabases();
  TendDamage();
  election_->StepTakeOver();
  election_->StepOffer();
  votes_->TendProbes();
  election_->StepSilence();
  election_->Step();
  space_->Clean(true);
  space_->DrainSealed();
  sessions_->DropSilentGuests();
  replica_.TendHotTier(now);
}

// --- A copy of all keys.

// Is everything that the index shows committed, so that it will stay?
Status Node::CheckHoldable() const {
  if (!health_.ok()) return health_.failure();
  if (!replica_.whole())
    return {Code::kUnavailable, "this node's log is not whole yet: see state and whole in FAHA.STATUS"};
  if (primary_->Wrote() || log_->HasOpenBatch() || log_->InUnit()) {
    return {Code::kUnavailable, "what this turn has written is not committed yet"};
  }
  const bool committed = standing_.Leading()
                             ? committer_->Serving() && !primary_->Stalled()
                             : engine_->applied() <= std::max(replica_.heard_committed(), log_->known_committed());
  if (committed) return Status::Ok();
  return {Code::kNoQuorum, "what this node holds is not known to be on a majority: start the other servers"};
}

Result<Lsn> Node::HoldSegments(std::function<void(const Status&)> lost) {
  if (Status status = CheckHoldable(); !status.ok()) return status;
  replica_.Hold(space_->BestFirst(), std::move(lost));
  // Batches that a primary has appended behind its last commit are from the cleaner or about members: they change no
  // key.
  return standing_.Leading() ? committer_->committed() : engine_->applied();
}

}  // namespace faha
