// Handlers and the gate on a store of one node, without a server.
#include "module/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "log/format.h"
#include "module/call.h"
#include "module/commands.h"
#include "module/pass.h"
#include "tests/fakes/crash_media.h"
#include "tests/fakes/fake_redis.h"
#include "tests/fakes/sim_world.h"

namespace faha::module {
namespace {

using testing::ElementsAre;
using Words = std::vector<std::string>;
using Handler = ::faha::module::Reply (*)(Call&);

class GateTest : public testing::Test, public StoreObserver {
 protected:
  GateTest() {
    Options options;
    options.segment_bytes = 1 << 20;
    TheState().gate = Gate{};
    TheState().unit_time = 0;
    TheState().store =
        std::move(Store::Open(options, this, {std::make_unique<CrashMedia>(disk_, 64), &fabric_, &world_}).value());
  }
  ~GateTest() override { TheState().store.reset(); }
  void OnPrimary() override {}
  void OnFollowing(const Member&) override {}

  // What the client is told.
  template <bool kWrites, Handler kHandler>
  Words Do(const Words& words) {
    redis_.replies.clear();
    auto arguments = redis_.Arguments(words);
    Call call(redis_.ctx(), arguments.data(), static_cast<int>(arguments.size()), words.front());
    TheState().gate.Pass<kWrites, kHandler>(call);
    return redis_.replies;
  }
  Words Set(const std::string& key, const std::string& value) { return Do<true, strings::Set>({"set", key, value}); }
  Words Get(const std::string& key) { return Do<false, strings::Get>({"get", key}); }
  static bool Pending() { return TheState().store->NeedsCommit(); }

  SimWorld world_{1};
  SimFabric fabric_{&world_, 1};
  std::shared_ptr<CrashDisk> disk_ = std::make_shared<CrashDisk>((2 << 20) + (8 << 20));
  FakeRedis redis_;
};

TEST_F(GateTest, ACommandAnswersAndTellsWhoListens) {
  EXPECT_THAT(Set("k", "v"), ElementsAre("+OK"));
  EXPECT_THAT(redis_.events, ElementsAre("new k", "set k"));
  EXPECT_THAT(redis_.modified, ElementsAre("k"));
  EXPECT_THAT(Get("k"), ElementsAre("$v"));
  EXPECT_THAT(Get("none"), ElementsAre("_"));
  EXPECT_THAT((Do<false, strings::MGet>({"mget", "k", "none"})), ElementsAre("*2", "$v", "_"));
  EXPECT_THAT((Do<true, strings::Incr>({"incr", "k"})), ElementsAre("-ERR value is not an integer or out of range"));
}

// Behind the barrier the turn's end commits for all; where that would be too late the command does.
TEST_F(GateTest, AReplyThatWouldLeaveEarlyIsOfAWriteThatIsCommitted) {
  Gate& gate = TheState().gate;
  bool pending = false;
  redis_.before_reply = [&pending] { pending = Pending(); };
  Set("k", "no barrier yet");
  EXPECT_FALSE(pending);
  gate.HoldBarrier({});
  Set("k", "with it");
  EXPECT_TRUE(pending);
  EXPECT_TRUE(gate.EndTurn().ok());
  EXPECT_FALSE(Pending());
  gate.SetWindow(true);
  Set("k", "in the window");
  EXPECT_FALSE(pending);
  gate.SetWindow(false);
  gate.HoldBarrier({1});
  Set("k", "from a client that is excepted");
  EXPECT_FALSE(pending);
  gate.HoldBarrier({2});
  Set("k", "another client is");
  EXPECT_TRUE(pending);
}

// The medium refuses the commit inside a command: that one is told, and the turn's other replies must not leave.
TEST_F(GateTest, ACommitThatFailsInsideACommandIsToldAndFailsTheTurn) {
  TheState().gate.HoldBarrier({});
  Set("a", "v");
  TheState().gate.HoldBarrier({1});
  disk_->fail_at_drain = disk_->drains + 1;
  const Words told = Set("b", "v");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(told.front().starts_with("-FENCED") || told.front().starts_with("-READONLY FENCED")) << told.front();
  EXPECT_FALSE(TheState().gate.EndTurn().ok());
}

// A record that is met damaged looks as if it were not there.
TEST_F(GateTest, WhatWasMisreadIsNotTold) {
  const std::string value = "a value that is found on the medium";
  TheState().gate.HoldBarrier({});
  Set("k", value);
  ASSERT_TRUE(TheState().gate.EndTurn().ok());
  const auto* needle = reinterpret_cast<const std::byte*>(value.data());
  const auto found = std::search(disk_->written.begin(), disk_->written.end(), needle, needle + value.size());
  ASSERT_NE(found, disk_->written.end());
  *found ^= std::byte{1};
  const Words told = Get("k");
  ASSERT_EQ(told.size(), 1U);
  EXPECT_TRUE(told.front().starts_with("-CORRUPT")) << told.front();
}

TEST_F(GateTest, WhatAnArrayViewsIsCopiedBeforeACommit) {
  std::string buffer = "as it was";
  auto reply = ::faha::module::Reply::Array({std::string_view(buffer), std::nullopt});
  reply.Own();
  buffer = "something";
  reply.SendTo(redis_.ctx());
  EXPECT_THAT(redis_.replies, ElementsAre("*2", "$as it was", "_"));
}

::faha::module::Reply AnswersByItself(Call& call) {
  RedisModule_ReplyWithLongLong(call.ctx(), 1);
  return ::faha::module::Reply::Sent();
}

::faha::module::Reply TellsWhatIsPending(Call& call) {
  EXPECT_TRUE(call.Put(1, {"v"}, REDISMODULE_NOTIFY_STRING, "set").ok());
  EXPECT_TRUE(call.store().NeedsCommit());
  return ::faha::module::Reply::By(
      [](RedisModuleCtx* ctx) { RedisModule_ReplyWithLongLong(ctx, TheState().store->NeedsCommit() ? 1 : 0); });
}

TEST_F(GateTest, AHandlerOfDataDoesNotAnswerByItself) { EXPECT_DEATH((Do<false, AnswersByItself>({"get", "k"})), ""); }

TEST_F(GateTest, AReplyThatWritesItselfDoesSoBehindTheCommit) {
  EXPECT_THAT((Do<true, TellsWhatIsPending>({"set", "k"})), ElementsAre(":0"));
}

}  // namespace
}  // namespace faha::module
