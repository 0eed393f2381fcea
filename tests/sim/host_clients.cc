// What a host does for its clients.  See host.h.
#include <algorithm>
#include <array>
#include <utility>

#include "tests/fakes/collections.h"
#include "tests/sim/host.h"
#include "tests/sim/values.h"

namespace faha::sim {

namespace {

constexpr MonoTime kBusyStep{5'000};  // between two looks of a script that is slow
// What comes while a turn goes on may still be part of it; but it ends.
constexpr std::size_t kMaxTurn = 64;

std::string KeyName(int key, int part) {
  return "key" + std::to_string(key) + (part == 0 ? "" : ":" + std::to_string(part));
}

// What a client's key is in the store.
enum class Form : std::uint8_t { kString, kField, kMember, kLast };  // the last element of a list
Form FormOf(int key, bool elements) { return elements ? static_cast<Form>(key % 4) : Form::kString; }
constexpr const char* kHash = "hash";
constexpr const char* kSorted = "sorted";
// What a part may cost: an element, one that it takes the place of, and a key.
constexpr std::uint64_t kPartBytes = 200, kPartRecords = 5;

}  // namespace

// A server that reads one client after the other, in whatever order, finds what has come from the next ones meanwhile.
void Host::TakeWhatCame(bool reads_only) {
  for (auto next = asked_.begin(); next != asked_.end() && turn_.size() < kMaxTurn;) {
    if (reads_only && next->request.kind != Operation::Kind::kRead) {
      ++next;
      continue;
    }
    turn_.push_back(std::move(*next));
    next = asked_.erase(next);
  }
}

// Orders come in the middle of a turn, behind what clients have asked for: as long as an order may commit, it must not
// take from the end of the turn that the commit has failed.
void Host::Obey() {
  for (const auto& command : std::exchange(commands_, {})) Into("an order", [&] { command(*store_); });
}

void Host::Turn() {
  if (asked_.empty()) return Obey();
  turn_ = std::exchange(asked_, {});
  for (std::size_t i = 0; i < turn_.size(); ++i) {
    Execute(turn_[i]);
    if (!asked_.empty()) TakeWhatCame(world_->OneIn(2));
  }
  Obey();
  const Status status = Into("Commit", [&] { return store_->Commit(); });
  for (const Pending& pending : std::exchange(turn_, {})) {
    const bool done = pending.executed && status.ok();
    if (done && pending.torn) {
      referee_->Violation("host " + std::to_string(number_) + " serves half of a unit: key " +
                          std::to_string(pending.request.key));
    }
    pending.request.reply(done ? Outcome::kDone : pending.outcome, pending.read);
  }
}

void Host::Execute(Pending& pending) {
  const Request& request = pending.request;
  if (request.noop != Noop::kNone) WriteNothing(request.noop);
  const bool reads = request.kind == Operation::Kind::kRead;
  const bool in_the_middle = !reads && settings_.width > 1 && request.value != kAbsent;
  if (!in_the_middle) Busy(request);
  Into(reads ? "a read" : "a write", [&] { reads ? Read(pending) : Write(pending); });
}

// As a command does it that finds nothing to do, or cannot do it.
void Host::WriteNothing(Noop noop) {
  constexpr DbId kEmpty = 1, kEmptyToo = 2;
  Into("what writes nothing", [&] {
    if (!store_->CheckWrite(0, 0).ok()) return;
    Status status;
    switch (noop) {
      case Noop::kNone: break;
      case Noop::kFlush: status = store_->Flush(kEmpty); break;
      case Noop::kSwap: status = store_->Swap(kEmpty, kEmptyToo); break;
      case Noop::kDelete: status = store_->Delete(kEmpty, "nothing"); break;
      case Noop::kTooLarge:
        status = store_->Put(kEmpty, "much", {std::string(store_->MaxRecordBytes() + 128, '\0')});
        break;
    }
    (void)status;
    store_->EndUnit();
  });
}

void Host::Busy(const Request& request) {
  if (request.busy == MonoTime{0}) return;
  const char* call = std::exchange(call_, nullptr);
  if (in_unit_ && request.busy_polls && store_->Serving() && store_->Info().last > unit_after_)
    referee_->OnHalfShipped(number_, request.busy);
  const MonoTime began = OwnTime();
  world_->Trace(number_, request.busy_polls ? "busy, and looks at its peers" : "busy");
  if (!request.busy_polls) {
    deaf_ = true;
    world_->Sleep(number_, request.busy);
    deaf_ = false;
  } else {
    const MonoTime end = world_->Now() + request.busy;
    while (world_->Now() < end) {
      world_->Sleep(number_, std::min(kBusyStep, end - world_->Now()));
      Look();
    }
  }
  call_ = call;
  call_began_ += OwnTime() - began;
}

void Host::Read(Pending& pending) {
  pending.outcome = Outcome::kRefused;
  if (!store_->CheckRead().ok()) return;
  for (int part = 0; part < settings_.width; ++part) {
    const auto value = ReadPart(pending.request.key, part);
    const std::string key = "key " + std::to_string(pending.request.key);
    if (!value) return referee_->Violation(key + " holds what nobody wrote");
    if (part > 0 && pending.read != *value) pending.torn = true;
    if (part == 0) pending.read = *value;
  }
  pending.executed = true;
}

void Host::Write(Pending& pending) {
  const Request& request = pending.request;
  pending.outcome = Outcome::kRefused;
  const bool deletes = request.value == kAbsent;
  const auto count = static_cast<std::uint64_t>(settings_.width);
  const std::uint64_t keys = count * KeyName(request.key, 10).size();
  const std::uint64_t records = settings_.elements ? count * kPartRecords : count;
  const std::uint64_t own = settings_.elements ? count * kPartBytes : 0;
  const Status allowed = deletes ? store_->CheckErase(keys + own, records)
                                 : store_->CheckWrite(keys + own + count * (request.bytes + 24), records);
  if (allowed.code() == Code::kNoSpace) ++full;
  if (!allowed.ok()) return;
  const Status status = deletes ? DeleteAll(request) : PutAll(request);
  store_->EndUnit();
  in_unit_ = false;
  // Of one key, nothing has been written.
  if (status.code() == Code::kNoSpace && count == 1) return;
  pending.outcome = Outcome::kUnknown;
  pending.executed = status.ok();
}

// Each as a command of a script, which asks for itself.
Status Host::PutAll(const Request& request) {
  in_unit_ = settings_.width > 1;
  unit_after_ = store_->Info().last;
  const int busy_at = settings_.width / 2;
  for (int part = 0; part < settings_.width; ++part) {
    if (part > 0 && part == busy_at) Busy(request);
    if (Status status = PutOne(request, part); !status.ok()) return status;
  }
  return Status::Ok();
}

Status Host::PutOne(const Request& request, int part) {
  const std::string key = KeyName(request.key, part);
  const std::string content =
      request.forged ? ForgedContent(request.value, request.bytes, std::span(disk_->written), world_->random())
                     : Content(request.value, request.bytes);
  const std::uint64_t own = settings_.elements ? kPartBytes : 0;
  const std::uint64_t records = settings_.elements ? kPartRecords : 1;
  Status status = part == 0 ? Status::Ok() : store_->CheckWrite(key.size() + content.size() + own, records);
  if (status.ok()) status = PutPart(request, part, content);
  if (status.code() == Code::kNoSpace && part > 0) {
    world_->Trace(number_, "no space in the middle of a unit");
    ++full;
  }
  return status;
}

Status Host::PutPart(const Request& request, int part, const std::string& content) {
  const std::string name = KeyName(request.key, part);
  switch (FormOf(request.key, settings_.elements)) {
    case Form::kString: break;
    case Form::kField:
      return ChangeLarge<faha::Hash>(*store_, 0, kHash, [&](faha::Hash& hash) { hash.Put(name, content); });
    case Form::kMember:
      return ChangeLarge<SortedSet>(*store_, 0, kSorted, [&](SortedSet& set) { set.Put(name, request.value); });
    case Form::kLast: return PushAndRename(name, content);
  }
  return store_->Put(0, name, {content});
}

// The list has one of two names, and gets the other one now and then.
Status Host::PushAndRename(const std::string& name, const std::string& content) {
  const bool renamed = store_->Get(0, name + "'").has_value();
  const std::string from = name + (renamed ? "'" : ""), to = name + (renamed ? "" : "'");
  const Status status = ChangeLarge<List>(*store_, 0, from, [&](List& list) {
    list.Insert(list.Size(), content);
    if (list.Size() > 1) list.Erase(0, list.Size() - 1);
  });
  if (!status.ok() || world_->OneIn(2)) return status;
  const auto entry = store_->Get(0, from);
  const std::string value(entry->value);
  if (Status put = store_->Put(0, to, {value, kNoExpiry, entry->type, true}); !put.ok()) return put;
  return store_->Delete(0, from);
}

Status Host::DeletePart(int key, int part) {
  const std::string name = KeyName(key, part);
  switch (FormOf(key, settings_.elements)) {
    case Form::kField: return ChangeLarge<faha::Hash>(*store_, 0, kHash, [&](faha::Hash& hash) { hash.Erase(name); });
    case Form::kMember: return ChangeLarge<SortedSet>(*store_, 0, kSorted, [&](SortedSet& set) { set.Erase(name); });
    case Form::kLast:
      if (Status status = store_->Delete(0, name + "'"); !status.ok()) return status;
      break;
    case Form::kString: break;
  }
  return store_->Delete(0, name);
}

// Nothing: nobody wrote that.
std::optional<Value> Host::ReadPart(int key, int part) {
  const std::string name = KeyName(key, part);
  const auto value_of = [](const std::optional<std::string_view>& content) {
    return content ? ValueOf(*content) : kAbsent;
  };
  switch (FormOf(key, settings_.elements)) {
    case Form::kString: break;
    case Form::kField: {
      const auto hash = FindLarge<faha::Hash>(*store_, 0, kHash);
      return hash == nullptr ? kAbsent : value_of(hash->Find(name));
    }
    case Form::kMember: {
      const auto set = FindLarge<SortedSet>(*store_, 0, kSorted);
      const auto score = set == nullptr ? std::nullopt : set->ScoreOf(name);
      return score ? static_cast<Value>(*score) : kAbsent;
    }
    case Form::kLast: {
      auto list = FindLarge<List>(*store_, 0, name);
      if (list == nullptr) list = FindLarge<List>(*store_, 0, name + "'");
      return list == nullptr ? kAbsent : value_of(list->At(list->Size() - 1));
    }
  }
  const auto entry = store_->Get(0, name);
  return entry ? ValueOf(entry->value) : kAbsent;
}

Status Host::DeleteAll(const Request& request) {
  for (int part = 0; part < settings_.width; ++part) {
    if (Status status = DeletePart(request.key, part); !status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace faha::sim
