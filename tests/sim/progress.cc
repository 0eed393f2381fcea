#include "tests/sim/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace faha::sim {

using std::chrono::milliseconds;

namespace {
constexpr milliseconds kPeriod{20};
// Who hears of no write for so long tries one.
constexpr milliseconds kQuiet{100};
// A primary gives a backup that does not answer up after persist-timeout, 200 ms; the rest is for another one, and
// slack.
constexpr milliseconds kLedBound{1200};
// An election that was ordered waits for a lease to end, 340 ms, and asks every 50 ms.
constexpr milliseconds kOrderBound{3000};
// Orders may come too early, or to the wrong ones.
constexpr milliseconds kElectionSlack{4000};
constexpr int kOrders = 4;
// Nobody waits for a lease to end.
constexpr milliseconds kPlannedBound{250};
// Of a planned change, and before it: what went wrong earlier is over.
constexpr milliseconds kPlannedLasts{600}, kWellBefore{500};
}  // namespace

void Progress::Begin() {
  began_ = world_->Now();
  Look();
}

void Progress::Ordered(int host) {
  ordered_ = host;
  ordered_at_ = world_->Now();
}

bool Progress::Planned() {
  if (!AllWellSince(world_->Now() - kWellBefore)) return false;
  planned_at_ = world_->Now();
  return true;
}

bool Progress::AllWellSince(MonoTime time) const {
  for (int number = 1; number <= cluster_->size(); ++number) {
    const auto since = well_since_.find(number);
    if (since == well_since_.end() || since->second > time) return false;
  }
  return true;
}

bool Progress::ReachesOthers(const Host& host) const {
  for (int other = 1; other <= cluster_->size(); ++other) {
    if (!well_since_.contains(other)) continue;
    if (!world_->Reaches(host.number(), other) || !world_->Reaches(other, host.number())) return false;
  }
  return true;
}

// One after the other, so that of two that do not reach each other one is not well; and not before whoever dialled
// meanwhile has found out.
void Progress::NoteWhoIsWell() {
  const auto before = std::exchange(well_since_, {});
  for (int number = 1; number <= cluster_->size(); ++number) {
    const Host& host = (*cluster_)[number];
    if (!ReachesOthers(host)) cut_until_[number] = world_->Now() + World::kMostPatience;
    if (!host.well() || world_->Slow(number) || world_->Now() < cut_until_[number]) continue;
    const auto was = before.find(number);
    well_since_[number] = was == before.end() ? world_->Now() : was->second;
  }
}

MonoTime Progress::MajorityWellSince() const {
  std::vector<MonoTime> since;
  for (const auto& [number, time] : well_since_) since.push_back(time);
  std::sort(since.begin(), since.end());
  const auto majority = static_cast<std::size_t>(cluster_->size()) / 2 + 1;
  return since.size() < majority ? MonoTime::max() : since[majority - 1];
}

bool Progress::LedAllAlong() const {
  return leads_ != 0 && well_since_.contains(leads_) && (*cluster_)[leads_].store()->Info().state == "serving";
}

void Progress::Probe() {
  Host* primary = cluster_->Primary();
  if (probing_ || primary == nullptr || world_->Now() - clients_->last_written() < kQuiet) return;
  probing_ = true;
  const int key = static_cast<int>(world_->Below(static_cast<std::uint64_t>(plan_.keys)));
  clients_->Do(*primary, Operation::Kind::kWrite, key, clients_->NextValue(), [this](Outcome) { probing_ = false; });
}

void Progress::Look() {
  if (ended_) return;
  world_->After(kPeriod, [this] { Look(); });
  NoteWhoIsWell();
  if (cluster_->led_last() != leads_) {
    leads_ = cluster_->led_last();
    led_since_ = world_->Now();
  }
  Probe();
  const MonoTime well = MajorityWellSince();
  if (well == MonoTime::max()) return;
  const MonoTime since = std::max({began_, well, clients_->last_written()}), now = world_->Now();
  const bool led = LedAllAlong();
  const bool ordered = ordered_ != 0 && well_since_.contains(ordered_) && well_since_.at(ordered_) <= ordered_at_;
  MonoTime bound = kOrders * plan_.promotion_patience + kElectionSlack;
  MonoTime from = since;
  if (led) {
    bound = kLedBound;
    from = std::max({since, led_since_, well_since_.at(leads_)});
  } else if (ordered && plan_.promotion_patience > kOrderBound) {
    bound = kOrderBound;
    from = std::max(since, ordered_at_);
  }
  if (planned_at_ > MonoTime{0} && now - planned_at_ < kPlannedLasts && AllWellSince(planned_at_ - kWellBefore)) {
    from = std::max(clients_->last_written(), planned_at_);
    bound = kPlannedBound;
  }
  if (now - from <= bound) return;
  cluster_->NoProgress(fmt::format("no write has succeeded for {} ms, although a majority is well{}:",
                                   (now - since).count() / 1000, led ? ", the primary with it" : ""));
}

}  // namespace faha::sim
