// Whole nodes in a simulated world, with their disks and what the outside does to them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "faha/store.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/sim_disk.h"
#include "tests/fakes/sim_world.h"

namespace faha {

inline constexpr std::uint64_t kSegment = 1ULL << 20;
inline constexpr std::size_t kDisk = (2ULL << 20) + 8 * kSegment;

class SimNode : public StoreObserver {
 public:
  SimNode(SimWorld* world, int number)
      : redis_port(static_cast<std::uint16_t>(7000 + number)), world_(world), number_(number) {}
  ~SimNode() override { Kill(); }

  Status Start() {
    fabric_ = std::make_unique<SimFabric>(world_, number_);
    TellDiskOfLandings(*fabric_, disk);
    Options options;
    options.segment_bytes = kSegment;
    options.pool_bytes = pool_bytes;
    options.batch_bytes = 4096;
    options.feature_level = feature_level;
    options.redis_port = static_cast<std::uint16_t>(redis_port + moved_by);
    options.port = static_cast<std::uint16_t>(7000 + number_ + moved_by + options.port_offset);
    options.log = [this](LogLevel, std::string_view line) {
      if (line.starts_with("taking the whole log")) ++installs;
      if (std::getenv("FAHA_SIM_LOG") != nullptr) {
        fprintf(stderr, "%8.3f node %d: %.*s\n", static_cast<double>(world_->Now().count()) / 1e6, number_,
                static_cast<int>(line.size()), line.data());
      }
    };
    Env env{std::make_unique<CrashMedia>(disk, 64), fabric_.get(), world_};
    auto opened = Store::Open(options, this, std::move(env));
    if (!opened.ok()) return opened.status();
    store = std::move(opened.value());
    world_->AddRunner(number_, [this] {
      store->Poll();
      if (store && world_->Now() >= next_tick_) {
        next_tick_ = world_->Now() + Store::kTickPeriod;
        store->Tick();
      }
    });
    return Status::Ok();
  }
  void Kill() {
    world_->RemoveRunner(number_);
    store.reset();
    fabric_.reset();
  }
  // Power fails: undrained words may be lost.
  void PowerOff() {
    Kill();
    disk->Crash(world_->random());
  }

  // Every link to that node is reset.
  void BreakLinksTo(int number) { fabric_->BreakLinksTo(number); }

  Status Delete(const std::string& key) {
    if (Status status = store->CheckErase(key.size(), 1); !status.ok()) return status;
    if (Status status = store->Delete(0, key); !status.ok()) return status;
    store->EndUnit();
    return store->Commit();
  }
  Status Set(const std::string& key, const std::string& value) {
    if (Status status = store->CheckWrite(key.size() + value.size(), 1); !status.ok()) return status;
    if (Status status = store->Put(0, key, {value}); !status.ok()) return status;
    store->EndUnit();
    return store->Commit();
  }
  // Nothing, or the status that refuses.
  Result<std::optional<std::string>> Get(const std::string& key) {
    if (Status status = store->CheckRead(); !status.ok()) return status;
    const auto entry = store->Get(0, key);
    std::optional<std::string> value;
    if (entry) value = std::string(entry->value);
    if (Status status = store->Commit(); !status.ok()) return status;
    return value;
  }
  [[nodiscard]] bool Serving() const { return store && store->Info().state == "serving"; }
  [[nodiscard]] bool FollowsInSync(const SimNode& primary) const {
    if (!store || !primary.store) return false;
    const auto info = primary.store->Info();
    return std::any_of(info.peers.begin(), info.peers.end(), [&](const PeerInfo& peer) {
      return peer.in_sync && peer.voting && peer.member.redis_port == Redis().port;
    });
  }
  [[nodiscard]] Endpoint Redis() const { return {"127.0.0.1", static_cast<std::uint16_t>(7000 + number_ + moved_by)}; }

  void OnPrimary() override { ++elections; }
  void OnFollowing(const Member&) override {}
  void OnHandOverAsked(const Endpoint& heir) override { asked_by = heir; }
  void OnServiceLost() override { ++services_lost; }
  Endpoint asked_by;
  int elections = 0;
  int services_lost = 0;
  int installs = 0;
  std::uint64_t pool_bytes = kDisk;
  FeatureLevel feature_level = kHighestLevel;  // of its release, from the next start on
  std::uint16_t redis_port;
  int moved_by = 0;  // its ports, from the next start on
  std::shared_ptr<CrashDisk> disk = std::make_shared<CrashDisk>(kDisk);
  std::unique_ptr<Store> store;

 private:
  SimWorld* world_;
  int number_;
  MonoTime next_tick_{0};
  std::unique_ptr<SimFabric> fabric_;
};

class Cluster {
 public:
  explicit Cluster(int nodes, std::uint64_t seed = 1) : world(seed) {
    world.rdma = seed % 2 == 0;
    world.flush = seed % 4 == 0;
    for (int i = 1; i <= nodes; ++i) {
      all.push_back(std::make_unique<SimNode>(&world, i));
      EXPECT_TRUE(all.back()->Start().ok());
    }
    for (int i = 1; i < nodes; ++i) all[i]->store->Follow(all[0]->Redis());
    EXPECT_TRUE(world.RunUntil([&] { return AllInSync(*all[0]); })) << "seed " << seed;
  }
  [[nodiscard]] bool AllInSync(const SimNode& primary) const {
    return primary.Serving() && std::all_of(all.begin(), all.end(), [&](const auto& node) {
             return node.get() == &primary || node->FollowsInSync(primary);
           });
  }
  SimNode& operator[](int i) { return *all[i]; }
  SimNode* Primary() {
    SimNode* found = nullptr;
    for (const auto& node : all) {
      if (node->Serving()) found = node.get();
    }
    return found;
  }
  // Asks `node` to become primary and waits for its answer.
  Status Promote(SimNode& node, std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    std::optional<Status> answer;
    node.store->Promote(patience, [&](const Status& status) { answer = status; });
    world.RunUntil([&] { return answer.has_value(); });
    return answer.value_or(Status{Code::kUnavailable, "no answer"});
  }

  // Has `node` hand over to the node whose Redis listens at `heir`, and waits for its answer.
  Status HandOver(SimNode& node, const Endpoint& heir) {
    std::optional<Status> answer;
    node.store->HandOver(heir, [&](const Status& status) { answer = status; });
    world.RunUntil([&] { return answer.has_value(); });
    return answer.value_or(Status{Code::kUnavailable, "no answer"});
  }

  SimWorld world;
  std::vector<std::unique_ptr<SimNode>> all;
};

}  // namespace faha
