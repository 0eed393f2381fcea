// Large collections: their elements, which key has them, and when they are gone.  See collections.h.
// Thread: main loop only.
#include "base/check.h"
#include "store/engine.h"

namespace faha {

using format::RecordKind;

// --- Writing and reading.

CollectionId Engine::NewCollection() {
  const std::uint64_t born = log_->end().lsn.Next().value;
  born_ = born_.born == born ? CollectionId{born, born_.number + 1} : CollectionId{born, 0};
  return born_;
}

Result<bool> Engine::PutElement(const CollectionId& id, ValueType type, std::string_view subkey, std::string_view value,
                                TimeMs expire_at) {
  const ElementKey key(id, subkey);
  const Record record{
      .kind = RecordKind::kElement, .key = key.text(), .value = value, .expire_at = expire_at, .type = type};
  const auto at = Append(record);
  if (!at.ok()) return at.status();
  // What `value` viewed may have moved.
  return ApplyElement(log_->RecordAt(at.value()), {at.value(), element_hash_(0, key.text()), 0});
}

Result<bool> Engine::EraseElement(const CollectionId& id, std::string_view subkey) {
  const Large* large = Find(id);
  if (large == nullptr) return false;
  const ElementKey key(id, subkey);
  const std::uint64_t hash = element_hash_(0, key.text());
  if (large->Find(hash, key.text()).IsNone()) return false;
  const Record record{.kind = RecordKind::kElementErased, .key = key.text(), .value = {}, .type = large->type()};
  const auto at = Append(record);
  if (!at.ok()) return at.status();
  ApplyElementErased(record, {at.value(), hash, 0});
  return true;
}

std::optional<Record> Engine::FindElement(const CollectionId& id, std::string_view subkey) const {
  const Large* large = Find(id);
  if (large == nullptr) return std::nullopt;
  const ElementKey key(id, subkey);
  const LogAddress at = large->Find(element_hash_(0, key.text()), key.text());
  return at.IsNone() ? std::nullopt : ElementAt(at, RecordPart::kAll);
}

// --- Applying.

// True: the element is new.
bool Engine::ApplyElement(const Record& record, const Held& held) {
  Large& large = collections_->Make(CollectionOf(record), record.type);
  if (large.type() != record.type) {
    Lost();
    return false;
  }
  const LogAddress was = large.Put(record, held.hash, held.at);
  Note(Undo::Kind::kElement, 0, held.hash, held.at, was.value);
  if (!was.IsNone()) DropLiveSince(Place::Cold(was), usage_.forgets());
  usage_.AddLive(held.at, Live::Of(record, record.Size()));
  touched_ = true;
  return was.IsNone();
}

void Engine::ApplyElementErased(const Record& record, const Held& held) {
  Large* large = collections_->Find(CollectionOf(record));
  const LogAddress was = large == nullptr ? LogAddress{} : large->Erase(record, held.hash);
  Note(Undo::Kind::kElementErased, 0, held.hash, held.at, was.value);
  if (!was.IsNone()) DropLiveSince(Place::Cold(was), usage_.forgets());
  usage_.AddTombstone(held.at, record.Size());
  touched_ = true;
}

// The record at `place`, which was live when usage_.forgets() was `forgets`, is not any more.
void Engine::DropLiveSince(Place place, std::uint64_t forgets) {
  const LogAddress at = place.log_address();
  // The segment may have been given back meanwhile, and its usage was forgotten with it.
  if (usage_.ForgottenSince(at, forgets)) return;
  if (const auto record = RecordAt(place, RecordPart::kHead)) usage_.DropLive(at, Live::Of(*record));
}

bool Engine::IsNewestElement(const Record& record, std::uint64_t hash, LogAddress at) const {
  const Large* large = Find(CollectionOf(record));
  return large != nullptr && collections_->IsBound(*large) && large->Holds(record, hash, at);
}

// Elements of a collection that no key has are dead, and replay drops them: nothing needs to hide them.
bool Engine::ErasesNothing(const Record& record) const {
  const Large* large = Find(CollectionOf(record));
  if (large == nullptr || !collections_->IsBound(*large)) return true;
  return !large->Find(HashOf(record), record.key).IsNone();
}

void Engine::DropNamedElement(const Record& record, LogAddress at) {
  Large* large = collections_->Find(CollectionOf(record));
  const std::uint64_t hash = HashOf(record);
  if (large == nullptr || !large->Holds(record, hash, at)) return;
  large->Remove(record, hash, at);
  usage_.DropLive(at, Live::Of(record));
}

// --- Which key has a collection.

Large* Engine::NamedBy(LogAddress at) const {
  const auto record = RecordAt(Place::Cold(at), RecordPart::kAll);
  return record && record->large ? collections_->Find(LargeOf(*record)) : nullptr;
}

void Engine::Bind(const Record& record, LogAddress at) {
  Large& large = collections_->Make(LargeOf(record), record.type);
  Note(Undo::Kind::kBind, record.db, 0, at, large.owner.value);
  collections_->Bind(large, at, record.db);
}

void Engine::LetGo(LogAddress at) {
  Large* large = NamedBy(at);
  if (large != nullptr && large->owner == at) LetGo(*large);
}

void Engine::LetGo(Large& large) {
  Note(Undo::Kind::kLetGo, large.db, 0, large.owner, large.owner.value);
  collections_->Unbind(large);
  if (journal_.open()) {
    large.pending = true;
  } else if (settled_) {
    collections_->Bury(large, usage_.forgets());
  }
}

// A later flush of everything, which may still be taken back, may have set it aside together with all others.
void Engine::LetGoForGood(const Undo& step) {
  const auto record = RecordAt(Place::Cold(LogAddress{step.old}), RecordPart::kAll);
  if (!record || !record->large) return;
  const auto let_go = [&](Collections& all) {
    Large* large = all.Find(LargeOf(*record));
    if (large == nullptr || !large->owner.IsNone()) return;
    large->pending = false;
    if (settled_) all.Bury(*large, usage_.forgets());
  };
  let_go(*collections_);
  for (const FlushedAll& flushed : flushed_all_) let_go(*flushed.collections);
}

// While the log is being received, LogIsWhole() will say when.
void Engine::SettleAt(Lsn lsn) {
  settled_ = false;
  settle_at_ = log_->pool().installing() ? Lsn{~std::uint64_t{0}} : lsn;
}

void Engine::LogHasGaps() {
  settle_at_ = Lsn{~std::uint64_t{0}};
  settled_ = false;
}

void Engine::Settle() {
  if (settled_ || applied_ < settle_at_) return;
  settled_ = true;
  collections_->Settle(usage_.forgets());
}

// --- Taking steps back.

void Engine::DropIfEmpty(Large& large) {
  if (large.owner.IsNone() && large.Size() == 0) collections_->Drop(large);
}

void Engine::TakeElementBack(const Undo& step) {
  const LogAddress at{step.at}, old{step.old};
  const auto record = ElementAt(at, RecordPart::kAll);
  const auto older = old.IsNone() ? record : ElementAt(old, RecordPart::kAll);
  Large* large = record ? collections_->Find(CollectionOf(*record)) : nullptr;
  if (large == nullptr || !older) return Lost();
  usage_.DropLive(at, Live::Of(*record));
  if (old.IsNone()) {
    large->Remove(*record, step.hash, at);
    DropIfEmpty(*large);
  } else {
    large->Replace(*record, step.hash, at, *older, old);
    usage_.AddLive(old, Live::Of(*older));
  }
}

void Engine::TakeElementErasedBack(const Undo& step) {
  const LogAddress at{step.at}, old{step.old};
  if (const auto record = ElementAt(at, RecordPart::kHead)) usage_.DropTombstone(at, record->bytes);
  if (old.IsNone()) return;
  const auto older = ElementAt(old, RecordPart::kAll);
  Large* large = older ? collections_->Find(CollectionOf(*older)) : nullptr;
  if (large == nullptr) return Lost();
  large->Restore(*older, step.hash, old);
  usage_.AddLive(old, Live::Of(*older));
}

void Engine::TakeBindingBack(const Undo& step) {
  const LogAddress old{step.old};
  const bool let_go = static_cast<Undo::Kind>(step.kind) == Undo::Kind::kLetGo;
  Large* large = NamedBy(let_go ? old : LogAddress{step.at});
  if (large == nullptr) return Lost();
  if (old.IsNone()) {
    collections_->Unbind(*large);
    return DropIfEmpty(*large);
  }
  const auto record = RecordAt(Place::Cold(old), RecordPart::kHead);
  if (!record) return Lost();
  collections_->Bind(*large, old, record->db);
}

}  // namespace faha
