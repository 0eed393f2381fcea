#include "tests/sim/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace faha::sim {

namespace {

using Kind = Operation::Kind;

// Wing & Gong's search (1993) with the states it has seen (Lowe 2017): which operations have taken effect, and what
// the key holds then.
class Search {
 public:
  explicit Search(History history) : all_(std::move(history)), done_(all_.size(), false) {
    std::sort(all_.begin(), all_.end(), [](const auto& a, const auto& b) { return a.called < b.called; });
  }

  bool Explains() {
    if (!OnlyWhatWasWritten()) return false;
    Settle();
    done_.assign(all_.size(), false);
    return From(0, kAbsent);
  }
  [[nodiscard]] MonoTime furthest() const { return furthest_; }

 private:
  bool OnlyWhatWasWritten() {
    std::set<Value> written = {kAbsent};
    for (const Operation& op : all_) {
      if (op.kind == Kind::kWrite) written.insert(op.value);
    }
    return std::all_of(all_.begin(), all_.end(), [&](const auto& op) { return written.contains(op.value); });
  }
  // A write of unknown outcome that nobody read need not have been; one that was read took effect before that.
  void Settle() {
    std::map<Value, MonoTime> read_by;
    for (const Operation& op : all_) {
      if (op.kind != Kind::kRead || op.value == kAbsent) continue;
      const auto [at, fresh] = read_by.emplace(op.value, op.answered);
      if (!fresh) at->second = std::min(at->second, op.answered);
    }
    std::erase_if(all_, [&](Operation& op) {
      if (op.kind != Kind::kWrite || op.value == kAbsent || op.answered != MonoTime::max()) return false;
      const auto read = read_by.find(op.value);
      if (read == read_by.end()) return true;
      op.answered = read->second;
      return false;
    });
  }

  // All before `first` have taken effect, and what done_ says.
  bool From(std::size_t first, Value value) {
    while (first < all_.size() && done_[first]) ++first;
    MonoTime limit = MonoTime::max();  // what is called later comes after something that is still to come
    for (std::size_t i = first; i < all_.size() && all_[i].called <= limit; ++i) {
      if (!done_[i]) limit = std::min(limit, all_[i].answered);
    }
    if (limit == MonoTime::max()) return true;  // what is left need not have been
    furthest_ = std::max(furthest_, limit);
    if (!seen_.emplace(first, value, std::vector<bool>(done_.begin() + static_cast<std::ptrdiff_t>(first), done_.end()))
             .second)
      return false;
    for (std::size_t i = first; i < all_.size() && all_[i].called <= limit; ++i) {
      if (done_[i] || (all_[i].kind == Kind::kRead && all_[i].value != value)) continue;
      done_[i] = true;
      if (From(first, all_[i].value)) return true;
      done_[i] = false;
    }
    return false;
  }

  History all_;
  std::vector<bool> done_;
  std::set<std::tuple<std::size_t, Value, std::vector<bool>>> seen_;
  MonoTime furthest_{0};
};

std::string Line(const Operation& op) {
  const std::string value = op.value == kAbsent ? "nothing" : std::to_string(op.value);
  const std::string end = op.answered == MonoTime::max() ? "?" : fmt::format("{:.4f}", Seconds(op.answered));
  return fmt::format("\n    {:.4f} to {}: client {} {} {}", Seconds(op.called), end, op.client,
                     op.kind == Kind::kRead ? "read" : "wrote", value);
}

}  // namespace

std::optional<std::string> Explain(const History& history) {
  std::map<int, History> by_key;
  for (const Operation& op : history) by_key[op.key].push_back(op);
  for (const auto& [key, own] : by_key) {
    Search search(own);
    if (search.Explains()) continue;
    std::string text = fmt::format("key {} was no register; around {:.4f}:", key, Seconds(search.furthest()));
    for (const Operation& op : own) {
      const MonoTime margin = std::chrono::seconds(2);
      if (op.answered < search.furthest() - margin || op.called > search.furthest()) continue;
      if (op.answered == MonoTime::max() && op.called < search.furthest() - margin) continue;
      text += Line(op);
    }
    return text;
  }
  return std::nullopt;
}

}  // namespace faha::sim
